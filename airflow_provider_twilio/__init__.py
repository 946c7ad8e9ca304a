"""Twilio for Apache Airflow: messages, calls, numbers and accounts from DAGs."""

__version__ = "0.1.0"
