-- An order of nothing owes nothing; of one without a total nobody knows.
select *
from {{ ref('payment_state') }}
where (state = 'unknown') <> (total_summ is null)
    or (state = 'paid') is distinct from (total_summ is not null and open_summ <= 0)
