"""Twilio's REST API as values: requests, records, errors and rules, without I/O."""
