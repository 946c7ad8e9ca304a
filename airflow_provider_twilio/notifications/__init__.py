"""The Twilio notifier and its parts."""
