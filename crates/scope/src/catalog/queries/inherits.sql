select i.inhrelid::text, i.inhparent::text from pg_catalog.pg_inherits i order by i.inhrelid, i.inhseqno
