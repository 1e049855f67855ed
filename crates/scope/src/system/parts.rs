//! The system relations of which callers who do not see everything read a part, and which of their columns that is.

use super::whose::Of;

/// How one is read.
pub(super) struct Part {
    pub(super) schema: &'static str,
    pub(super) relation: &'static str,
    /// Its columns that are shown of everything.
    pub(super) shown: Columns,
    /// Its columns, with spaces between them, that are shown of what is described to the caller, and whose they are.
    pub(super) described: Option<(&'static str, Of)>,
    pub(super) rows: Rows,
}

/// Columns that are shown.
pub(super) enum Columns {
    /// These, with spaces between them. NULL stands for one that a newer server adds.
    These(&'static str),
    /// All that are not described: what the information schema's views have is fixed by a standard.
    Others,
}

/// Rows that are shown.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    All,
    /// Settings that may be shown.
    Settings,
    /// The session's own.
    Own,
    /// Nobody's: what sessions hold, objects that are data, and statistics, which are made of values.
    None,
}

pub(super) const CATALOG: &str = "pg_catalog";
pub(super) const INFORMATION: &str = "information_schema";

/// One of `pg_catalog` of which some columns are shown of everything.
const fn names(relation: &'static str, shown: &'static str) -> Part {
    Part { schema: CATALOG, relation, shown: Columns::These(shown), described: None, rows: Rows::All }
}

/// One of `pg_catalog` that has no rows.
const fn nobodys(relation: &'static str) -> Part {
    Part { schema: CATALOG, relation, shown: Columns::These(""), described: None, rows: Rows::None }
}

/// Sorted by schema and name within each. Labels of security labels are comments; those of what is not in one database are not shown.
pub(super) const PARTS: [Part; 101] = [
    Part {
        schema: CATALOG,
        relation: "pg_aggregate",
        shown: Columns::These(
            "aggfnoid aggkind aggnumdirectargs aggtransfn aggfinalfn aggcombinefn aggserialfn \
                               aggdeserialfn aggmtransfn aggminvtransfn aggmfinalfn aggfinalextra aggmfinalextra \
                               aggfinalmodify aggmfinalmodify aggsortop aggtranstype aggtransspace aggmtranstype \
                               aggmtransspace",
        ),
        described: Some(("agginitval aggminitval", Of::Function("aggfnoid"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_attrdef",
        shown: Columns::These("oid adrelid adnum"),
        described: Some(("adbin", Of::Relation("adrelid"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_attribute",
        shown: Columns::These(
            "attrelid attname atttypid attstattarget attlen attnum attndims attcacheoff \
                               atttypmod attbyval attalign attstorage attcompression attnotnull atthasdef \
                               atthasmissing attidentity attgenerated attisdropped attislocal attinhcount \
                               attcollation attacl attoptions",
        ),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_class",
        shown: Columns::These(
            "oid relname relnamespace reltype reloftype relowner relam reltablespace \
                               reltoastrelid relhasindex relisshared relpersistence relkind relnatts relchecks \
                               relhasrules relhastriggers relhassubclass relrowsecurity relforcerowsecurity \
                               relispopulated relreplident relispartition relacl reloptions",
        ),
        described: Some(("relpartbound", Of::Relation("oid"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_constraint",
        shown: Columns::These(
            "oid conname connamespace contype condeferrable condeferred conenforced \
                               convalidated conrelid contypid conindid conparentid confrelid confupdtype \
                               confdeltype confmatchtype conislocal coninhcount connoinherit conperiod conkey \
                               confkey conpfeqop conppeqop conffeqop confdelsetcols conexclop",
        ),
        described: Some(("conbin", Of::Constraint)),
        rows: Rows::All,
    },
    nobodys("pg_cursors"),
    names("pg_db_role_setting", "setdatabase setrole"),
    Part {
        schema: CATALOG,
        relation: "pg_description",
        shown: Columns::These("objoid classoid objsubid"),
        described: Some(("description", Of::Comment)),
        rows: Rows::All,
    },
    names("pg_extension", "oid extname extowner extnamespace extrelocatable extversion extconfig"),
    names("pg_foreign_server", "oid srvname srvowner srvfdw srvtype srvversion srvacl"),
    names("pg_foreign_table", "ftrelid ftserver"),
    Part {
        schema: CATALOG,
        relation: "pg_index",
        shown: Columns::These(
            "indexrelid indrelid indnatts indnkeyatts indisunique indnullsnotdistinct \
                               indisprimary indisexclusion indimmediate indisclustered indisvalid indcheckxmin \
                               indisready indislive indisreplident indkey indcollation indclass indoption",
        ),
        described: Some(("indexprs indpred", Of::Relation("indrelid"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_indexes",
        shown: Columns::These("schemaname tablename indexname tablespace"),
        described: Some(("indexdef", Of::NamedIndex("schemaname", "indexname"))),
        rows: Rows::All,
    },
    nobodys("pg_largeobject_metadata"),
    nobodys("pg_locks"),
    Part {
        schema: CATALOG,
        relation: "pg_matviews",
        shown: Columns::These("schemaname matviewname matviewowner tablespace hasindexes ispopulated"),
        described: Some(("definition", Of::NamedRelation("schemaname", "matviewname"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_partitioned_table",
        shown: Columns::These("partrelid partstrat partnatts partdefid partattrs partclass partcollation"),
        described: Some(("partexprs", Of::Relation("partrelid"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_policies",
        shown: Columns::These("schemaname tablename policyname permissive roles cmd"),
        described: Some(("qual with_check", Of::NamedRelation("schemaname", "tablename"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_policy",
        shown: Columns::These("oid polname polrelid polcmd polpermissive polroles"),
        described: Some(("polqual polwithcheck", Of::Relation("polrelid"))),
        rows: Rows::All,
    },
    nobodys("pg_prepared_statements"),
    nobodys("pg_prepared_xacts"),
    Part {
        schema: CATALOG,
        relation: "pg_proc",
        shown: Columns::These(
            "oid proname pronamespace proowner prolang procost prorows provariadic prosupport \
                               prokind prosecdef proleakproof proisstrict proretset provolatile proparallel \
                               pronargs pronargdefaults prorettype proargtypes proallargtypes proargmodes \
                               proargnames protrftypes proacl",
        ),
        described: Some(("proargdefaults prosrc probin prosqlbody proconfig", Of::Function("oid"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_publication_rel",
        shown: Columns::These("oid prpubid prrelid prattrs"),
        described: Some(("prqual", Of::Relation("prrelid"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_publication_tables",
        shown: Columns::These("pubname schemaname tablename attnames"),
        described: Some(("rowfilter", Of::NamedRelation("schemaname", "tablename"))),
        rows: Rows::All,
    },
    nobodys("pg_replication_origin"),
    nobodys("pg_replication_slots"),
    Part {
        schema: CATALOG,
        relation: "pg_rewrite",
        shown: Columns::These("oid rulename ev_class ev_type ev_enabled is_instead"),
        described: Some(("ev_qual ev_action", Of::Relation("ev_class"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_roles",
        shown: Columns::These(
            "rolname rolsuper rolinherit rolcreaterole rolcreatedb rolcanlogin rolreplication \
                               rolconnlimit rolpassword rolvaliduntil rolbypassrls oid",
        ),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_rules",
        shown: Columns::These("schemaname tablename rulename"),
        described: Some(("definition", Of::NamedRelation("schemaname", "tablename"))),
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_seclabel",
        shown: Columns::These("objoid classoid objsubid provider"),
        described: Some(("label", Of::Comment)),
        rows: Rows::All,
    },
    names("pg_seclabels", "objoid classoid objsubid objtype objnamespace objname provider"),
    Part {
        schema: CATALOG,
        relation: "pg_sequences",
        shown: Columns::These(
            "schemaname sequencename sequenceowner data_type start_value min_value max_value \
                               increment_by cycle cache_size",
        ),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: CATALOG,
        relation: "pg_settings",
        shown: Columns::These("name setting unit category short_desc context vartype enumvals"),
        described: None,
        rows: Rows::Settings,
    },
    names("pg_shseclabel", "objoid classoid provider"),
    Part {
        schema: CATALOG,
        relation: "pg_stat_activity",
        shown: Columns::These("datid datname pid usesysid usename state backend_type"),
        described: None,
        rows: Rows::Own,
    },
    names("pg_stat_all_indexes", "relid indexrelid schemaname relname indexrelname"),
    names("pg_stat_all_tables", "relid schemaname relname"),
    names("pg_stat_archiver", ""),
    names("pg_stat_bgwriter", ""),
    names("pg_stat_checkpointer", ""),
    names("pg_stat_database", "datid datname"),
    names("pg_stat_database_conflicts", "datid datname"),
    Part {
        schema: CATALOG,
        relation: "pg_stat_gssapi",
        shown: Columns::These("pid"),
        described: None,
        rows: Rows::Own,
    },
    names("pg_stat_io", "backend_type object context"),
    nobodys("pg_stat_progress_analyze"),
    nobodys("pg_stat_progress_basebackup"),
    nobodys("pg_stat_progress_cluster"),
    nobodys("pg_stat_progress_copy"),
    nobodys("pg_stat_progress_create_index"),
    nobodys("pg_stat_progress_vacuum"),
    nobodys("pg_stat_recovery_prefetch"),
    nobodys("pg_stat_replication"),
    nobodys("pg_stat_replication_slots"),
    names("pg_stat_slru", "name"),
    Part {
        schema: CATALOG,
        relation: "pg_stat_ssl",
        shown: Columns::These("pid"),
        described: None,
        rows: Rows::Own,
    },
    nobodys("pg_stat_subscription"),
    nobodys("pg_stat_subscription_stats"),
    names("pg_stat_sys_indexes", "relid indexrelid schemaname relname indexrelname"),
    names("pg_stat_sys_tables", "relid schemaname relname"),
    names("pg_stat_user_functions", "funcid schemaname funcname"),
    names("pg_stat_user_indexes", "relid indexrelid schemaname relname indexrelname"),
    names("pg_stat_user_tables", "relid schemaname relname"),
    names("pg_stat_wal", ""),
    nobodys("pg_stat_wal_receiver"),
    names("pg_stat_xact_all_tables", "relid schemaname relname"),
    names("pg_stat_xact_sys_tables", "relid schemaname relname"),
    names("pg_stat_xact_user_functions", "funcid schemaname funcname"),
    names("pg_stat_xact_user_tables", "relid schemaname relname"),
    names("pg_statio_all_indexes", "relid indexrelid schemaname relname indexrelname"),
    names("pg_statio_all_sequences", "relid schemaname relname"),
    names("pg_statio_all_tables", "relid schemaname relname"),
    names("pg_statio_sys_indexes", "relid indexrelid schemaname relname indexrelname"),
    names("pg_statio_sys_sequences", "relid schemaname relname"),
    names("pg_statio_sys_tables", "relid schemaname relname"),
    names("pg_statio_user_indexes", "relid indexrelid schemaname relname indexrelname"),
    names("pg_statio_user_sequences", "relid schemaname relname"),
    names("pg_statio_user_tables", "relid schemaname relname"),
    Part {
        schema: CATALOG,
        relation: "pg_statistic_ext",
        shown: Columns::These("oid stxrelid stxname stxnamespace stxowner stxstattarget stxkeys stxkind"),
        described: Some(("stxexprs", Of::Relation("stxrelid"))),
        rows: Rows::All,
    },
    nobodys("pg_stats"),
    nobodys("pg_stats_ext"),
    nobodys("pg_stats_ext_exprs"),
    names("pg_subscription", "oid subdbid subname subowner subenabled subpublications"),
    names("pg_subscription_rel", "srsubid srrelid"),
    Part {
        schema: CATALOG,
        relation: "pg_trigger",
        shown: Columns::These(
            "oid tgrelid tgparentid tgname tgfoid tgtype tgenabled tgisinternal tgconstrrelid \
                               tgconstrindid tgconstraint tgdeferrable tginitdeferred tgnargs tgattr tgoldtable \
                               tgnewtable",
        ),
        described: Some(("tgargs tgqual", Of::Relation("tgrelid"))),
        rows: Rows::All,
    },
    names("pg_ts_dict", "oid dictname dictnamespace dictowner dicttemplate"),
    Part {
        schema: CATALOG,
        relation: "pg_type",
        shown: Columns::These(
            "oid typname typnamespace typowner typlen typbyval typtype typcategory \
                               typispreferred typisdefined typdelim typrelid typsubscript typelem typarray \
                               typinput typoutput typreceive typsend typmodin typmodout typanalyze typalign \
                               typstorage typnotnull typbasetype typtypmod typndims typcollation typacl",
        ),
        described: Some(("typdefaultbin typdefault", Of::Type("oid"))),
        rows: Rows::All,
    },
    names("pg_user", "usename usesysid usecreatedb usesuper userepl usebypassrls passwd valuntil"),
    names("pg_user_mappings", "umid srvid srvname umuser usename"),
    Part {
        schema: CATALOG,
        relation: "pg_views",
        shown: Columns::These("schemaname viewname viewowner"),
        described: Some(("definition", Of::NamedRelation("schemaname", "viewname"))),
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "check_constraints",
        shown: Columns::Others,
        described: Some(("check_clause", Of::NamedCheck)),
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "column_options",
        shown: Columns::These("table_catalog table_schema table_name column_name option_name"),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "columns",
        shown: Columns::Others,
        described: Some((
            "column_default generation_expression",
            Of::NamedRelation("table_schema", "table_name"),
        )),
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "domains",
        shown: Columns::Others,
        described: Some(("domain_default", Of::NamedType("domain_schema", "domain_name"))),
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "foreign_data_wrapper_options",
        shown: Columns::These("foreign_data_wrapper_catalog foreign_data_wrapper_name option_name"),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "foreign_server_options",
        shown: Columns::These("foreign_server_catalog foreign_server_name option_name"),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "foreign_table_options",
        shown: Columns::These("foreign_table_catalog foreign_table_schema foreign_table_name option_name"),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "parameters",
        shown: Columns::Others,
        described: Some(("parameter_default", Of::NamedFunction)),
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "routines",
        shown: Columns::Others,
        described: Some(("routine_definition external_name", Of::NamedFunction)),
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "triggers",
        shown: Columns::Others,
        described: Some((
            "action_condition action_statement",
            Of::NamedRelation("event_object_schema", "event_object_table"),
        )),
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "user_mapping_options",
        shown: Columns::These(
            "authorization_identifier foreign_server_catalog foreign_server_name option_name",
        ),
        described: None,
        rows: Rows::All,
    },
    Part {
        schema: INFORMATION,
        relation: "views",
        shown: Columns::Others,
        described: Some(("view_definition", Of::NamedRelation("table_schema", "table_name"))),
        rows: Rows::All,
    },
];
