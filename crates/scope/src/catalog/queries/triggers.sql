-- Event triggers that run where a temporary table is made or dropped, with code of the target's own behind them: on which
-- commands, empty for all, and what they call.
select coalesce((select string_agg(t, ',' order by t) from unnest(e.evttags) t), ''), n.nspname::text, p.proname::text,
  coalesce(x.extname::text, '')
from pg_catalog.pg_event_trigger e
join pg_catalog.pg_proc p on p.oid = e.evtfoid
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension x on x.oid = d.refobjid
where e.evtenabled <> 'D' and e.evtevent in ('ddl_command_start','ddl_command_end','sql_drop')
  and l.lanname <> 'internal' and not (l.lanname = 'c' and x.oid is not null)
order by 1, 2, 3
