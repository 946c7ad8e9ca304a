"""Everything that is asked of Airflow beyond its base classes."""
