"""Everything that the provider asks of Airflow, beyond its base classes."""
