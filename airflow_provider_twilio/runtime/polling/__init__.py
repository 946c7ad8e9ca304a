"""Shared polling: one poll of Twilio serves every wait for an account in a process."""
