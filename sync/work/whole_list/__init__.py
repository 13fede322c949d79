"""Lists without a history.

sweep.py    a list read whole: its rows are written, missing ones are judged
cursor.py   lists ordered by time behind an opaque cursor
updated.py  changes by an updated-since filter, between full passes
"""
