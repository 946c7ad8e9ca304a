"""Links from a task to what Twilio knows of its message or call."""
