"""The hook: Twilio's operations, with credentials from an Airflow connection."""
