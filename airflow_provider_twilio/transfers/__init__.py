"""Operators that write Twilio's records to files."""
