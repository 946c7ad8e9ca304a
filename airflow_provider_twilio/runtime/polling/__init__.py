"""One poll of Twilio for any number of waits."""
