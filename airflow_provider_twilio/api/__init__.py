"""What Twilio says: requests, records, errors and rules. Pure: no I/O, no Airflow, no HTTP library."""
