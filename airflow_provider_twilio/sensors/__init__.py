"""The sensors, by what they wait for."""
