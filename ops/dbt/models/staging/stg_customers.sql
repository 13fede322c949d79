-- Live customers without their personal data: join crm.customers where you need it.
select
    store_id,
    id as customer_id,
    site,
    created_at as registered_at,
    manager_id,
    vip,
    bad,
    changed_at,
    change_no
from {{ source('crm', 'customers') }}
where deleted_at is null
