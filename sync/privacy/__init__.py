"""Rights of readers, and the removal of persons.

readers.py       roles: all of crm, some stores, or masked
policies.py      row-level security, only as long as some reader is limited to stores
masked_views.py  the views of crm_masked, from the declarations
erasure.py       a person removed, and kept out
"""
