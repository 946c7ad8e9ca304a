"""Shared polling: one poll of Twilio serves all waits of a process with the same credentials."""
