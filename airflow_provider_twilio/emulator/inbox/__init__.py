"""The emulator's page at ``/``: phones, their threads, the faults, the clock and the journal, in a browser."""
