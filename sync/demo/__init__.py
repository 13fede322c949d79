"""The whole service on one machine, as `make run` shows it.

run.py       the play: servers, accounts, worker and beat, load, questions, one change, the budget
madeup.py    the made-up RetailCRM, a process of its own
children.py  processes: started, watched, stopped
progress.py  how far the load is
answers.py   three questions in SQL

What is shown is what would run in production: the worker, beat and commands are processes of
their own, started by the lines an operator types.
"""

from sync.demo.run import run

__all__ = ["run"]
