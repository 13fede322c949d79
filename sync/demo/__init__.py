"""A demonstration of the whole service on one machine, run by `make run`.

run.py       the steps: servers, accounts, worker and beat, load, questions, one change, the budget
madeup.py    the made-up RetailCRM, in a process of its own
children.py  processes: start, watch, stop
progress.py  progress of the load
answers.py   three questions in SQL

It runs what production runs: worker, beat and commands are processes of their own, started by the
command lines an operator types.
"""

from sync.demo.run import run

__all__ = ["run"]
