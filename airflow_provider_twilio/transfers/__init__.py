"""Transfers: Twilio's records to files."""
