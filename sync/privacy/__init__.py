"""Rights of readers, and the removal of persons.

readers.py       roles: all of crm, some stores, or masked
rights.py        a role's rights as Postgres has them, whoever granted them
limits.py        readers' limits: connections, time, temporary files
shared.py        functions that every role has, and by which one stops all: closed
policies.py      row-level security, only as long as some reader is limited to stores
masked_views.py  the views of crm_masked, from the declarations
erasure.py       a person removed, and kept out
suppression_list.py  the list of erased persons as a file, beside backups
search.py        a search for a person in every table, in statistics and in Redis
statistics.py    the planner's knowledge of values, made to forget
marks.py         names, phones and the like, by which a text tells of a person; spellings
places.py        every column that may hold a person
"""
