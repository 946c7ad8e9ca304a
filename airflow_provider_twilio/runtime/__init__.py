"""The promises: send once, poll once for all, send in bulk. Never imports Airflow."""
