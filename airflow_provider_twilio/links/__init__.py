"""Links from a task in Airflow's UI to Twilio's console."""
