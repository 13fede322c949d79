"""Methods called once for every record of another resource.

parents.py  a pass over all parents
parent.py   the whole list of one parent
"""
