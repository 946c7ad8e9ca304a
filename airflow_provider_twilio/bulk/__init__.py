"""Many requests in one task: at a pace, resumed after a crash, each with an outcome of its own.

| file | what it answers |
|---|---|
| ``engine`` | how is a stream of requests run: how many at once, how fast, what came of each? |
| ``chunks`` | how does it go on after a crash: nothing twice, nothing forgotten? |
| ``pace`` | how many at once, and how soon the next? |
| ``progress`` | how far is it? |

Imports no Airflow: client and memory are handed in.
"""
