"""The triggers, by what they wait for."""
