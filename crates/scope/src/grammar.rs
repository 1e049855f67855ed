//! The nodes of PostgreSQL's grammar that may occur in a restricted caller's statement, each with the fields that are
//! followed. Everything else has to be unset, so a node or field that a newer parser adds is refused, never passed.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// A number, flag or text that cannot name anything which matters.
    Plain,
    /// One node of any kind, or none.
    Node,
    /// Nodes of any kind.
    Nodes,
    /// One node of this kind, or none.
    Of(&'static str),
}

use Field::{Node, Nodes, Of, Plain};

type Fields = &'static [(&'static str, Field)];

/// Fields of a node that may occur; `None` for one that may not.
pub(crate) fn fields(node: &str) -> Option<Fields> {
    NODES.iter().find(|(name, _)| *name == node).map(|(_, fields)| *fields)
}

const NODES: &[(&str, Fields)] = &[
    ("AArrayExpr", &[("elements", Nodes), ("list_start", Plain), ("list_end", Plain)]),
    ("AConst", &[("isnull", Plain), ("val", Plain)]),
    ("AExpr", &[("kind", Plain), ("name", Nodes), ("lexpr", Node), ("rexpr", Node)]),
    ("AIndices", &[("is_slice", Plain), ("lidx", Node), ("uidx", Node)]),
    ("AIndirection", &[("arg", Node), ("indirection", Nodes)]),
    ("AStar", &[]),
    ("Alias", &[("aliasname", Plain), ("colnames", Nodes)]),
    ("BitString", &[("bsval", Plain)]),
    ("BoolExpr", &[("boolop", Plain), ("args", Nodes)]),
    ("Boolean", &[("boolval", Plain)]),
    ("BooleanTest", &[("arg", Node), ("booltesttype", Plain)]),
    ("CaseExpr", &[("arg", Node), ("args", Nodes), ("defresult", Node)]),
    ("CaseWhen", &[("expr", Node), ("result", Node)]),
    ("ClosePortalStmt", &[("portalname", Plain)]),
    ("CoalesceExpr", &[("args", Nodes)]),
    ("CollateClause", &[("arg", Node), ("collname", Nodes)]),
    (
        "ColumnDef",
        &[
            ("colname", Plain),
            ("type_name", Of("TypeName")),
            ("is_local", Plain),
            ("is_not_null", Plain),
            ("raw_default", Node),
            ("constraints", Nodes),
            ("coll_clause", Of("CollateClause")),
        ],
    ),
    ("ColumnRef", &[("fields", Nodes)]),
    (
        "CommonTableExpr",
        &[
            ("ctename", Plain),
            ("aliascolnames", Nodes),
            ("ctematerialized", Plain),
            ("ctequery", Node),
            ("search_clause", Of("CteSearchClause")),
            ("cycle_clause", Of("CteCycleClause")),
        ],
    ),
    // Only of all of them: names would be looked up in the search path.
    ("ConstraintsSetStmt", &[("deferred", Plain)]),
    (
        "Constraint",
        &[
            ("contype", Plain),
            ("conname", Plain),
            ("deferrable", Plain),
            ("initdeferred", Plain),
            ("is_enforced", Plain),
            ("initially_valid", Plain),
            ("nulls_not_distinct", Plain),
            ("raw_expr", Node),
            ("keys", Nodes),
        ],
    ),
    (
        "CopyStmt",
        &[
            ("relation", Of("RangeVar")),
            ("query", Node),
            ("attlist", Nodes),
            ("is_from", Plain),
            ("options", Nodes),
            ("where_clause", Node),
        ],
    ),
    // Only temporary ones: the names are looked at where the statement is.
    (
        "CreateStmt",
        &[("relation", Plain), ("table_elts", Nodes), ("oncommit", Plain), ("if_not_exists", Plain)],
    ),
    (
        "CreateTableAsStmt",
        &[
            ("query", Node),
            ("into", Of("IntoClause")),
            ("objtype", Plain),
            ("is_select_into", Plain),
            ("if_not_exists", Plain),
        ],
    ),
    (
        "CteCycleClause",
        &[
            ("cycle_col_list", Nodes),
            ("cycle_mark_column", Plain),
            ("cycle_mark_value", Node),
            ("cycle_mark_default", Node),
            ("cycle_path_column", Plain),
        ],
    ),
    (
        "CteSearchClause",
        &[("search_col_list", Nodes), ("search_breadth_first", Plain), ("search_seq_column", Plain)],
    ),
    ("DeallocateStmt", &[("name", Plain), ("isall", Plain)]),
    ("DeclareCursorStmt", &[("portalname", Plain), ("options", Plain), ("query", Node)]),
    ("DefElem", &[("defname", Plain), ("arg", Node), ("defaction", Plain)]),
    (
        "DeleteStmt",
        &[
            ("relation", Of("RangeVar")),
            ("using_clause", Nodes),
            ("where_clause", Node),
            ("returning_clause", Of("ReturningClause")),
            ("with_clause", Of("WithClause")),
        ],
    ),
    ("DiscardStmt", &[("target", Plain)]),
    ("DropStmt", &[("objects", Plain), ("remove_type", Plain), ("behavior", Plain), ("missing_ok", Plain)]),
    ("ExecuteStmt", &[("name", Plain), ("params", Nodes)]),
    ("ExplainStmt", &[("query", Node), ("options", Nodes)]),
    ("FetchStmt", &[("direction", Plain), ("how_many", Plain), ("portalname", Plain), ("ismove", Plain)]),
    ("Float", &[("fval", Plain)]),
    (
        "FuncCall",
        &[
            ("funcname", Nodes),
            ("args", Nodes),
            ("agg_order", Nodes),
            ("agg_filter", Node),
            ("over", Of("WindowDef")),
            ("agg_within_group", Plain),
            ("agg_star", Plain),
            ("agg_distinct", Plain),
            ("func_variadic", Plain),
            ("funcformat", Plain),
        ],
    ),
    ("GroupingFunc", &[("args", Nodes)]),
    ("GroupingSet", &[("kind", Plain), ("content", Nodes)]),
    ("IndexElem", &[("name", Plain), ("expr", Node), ("ordering", Plain), ("nulls_ordering", Plain)]),
    ("InferClause", &[("index_elems", Nodes), ("where_clause", Node), ("conname", Plain)]),
    (
        "InsertStmt",
        &[
            ("relation", Of("RangeVar")),
            ("cols", Nodes),
            ("select_stmt", Node),
            ("on_conflict_clause", Of("OnConflictClause")),
            ("returning_clause", Of("ReturningClause")),
            ("with_clause", Of("WithClause")),
            ("override", Plain),
            ("r#override", Plain),
        ],
    ),
    ("Integer", &[("ival", Plain)]),
    ("IntoClause", &[("rel", Plain), ("col_names", Nodes), ("on_commit", Plain), ("skip_data", Plain)]),
    (
        "JoinExpr",
        &[
            ("jointype", Plain),
            ("is_natural", Plain),
            ("larg", Node),
            ("rarg", Node),
            ("using_clause", Nodes),
            ("join_using_alias", Of("Alias")),
            ("quals", Node),
            ("alias", Of("Alias")),
        ],
    ),
    ("List", &[("items", Nodes)]),
    ("LockStmt", &[("relations", Nodes), ("mode", Plain), ("nowait", Plain)]),
    ("LockingClause", &[("locked_rels", Plain), ("strength", Plain), ("wait_policy", Plain)]),
    (
        "MergeStmt",
        &[
            ("relation", Of("RangeVar")),
            ("source_relation", Node),
            ("join_condition", Node),
            ("merge_when_clauses", Nodes),
            ("returning_clause", Of("ReturningClause")),
            ("with_clause", Of("WithClause")),
        ],
    ),
    (
        "MergeWhenClause",
        &[
            ("match_kind", Plain),
            ("command_type", Plain),
            ("override", Plain),
            ("r#override", Plain),
            ("condition", Node),
            ("target_list", Nodes),
            ("values", Nodes),
        ],
    ),
    ("MinMaxExpr", &[("op", Plain), ("args", Nodes)]),
    ("MultiAssignRef", &[("source", Node), ("colno", Plain), ("ncolumns", Plain)]),
    ("NamedArgExpr", &[("arg", Node), ("name", Plain), ("argnumber", Plain)]),
    ("NullTest", &[("arg", Node), ("nulltesttype", Plain), ("argisrow", Plain)]),
    (
        "OnConflictClause",
        &[("action", Plain), ("infer", Of("InferClause")), ("target_list", Nodes), ("where_clause", Node)],
    ),
    ("ParamRef", &[("number", Plain)]),
    ("PrepareStmt", &[("name", Plain), ("argtypes", Nodes), ("query", Node)]),
    (
        "RangeFunction",
        &[
            ("lateral", Plain),
            ("ordinality", Plain),
            ("is_rowsfrom", Plain),
            ("functions", Nodes),
            ("alias", Of("Alias")),
            ("coldeflist", Nodes),
        ],
    ),
    ("RangeSubselect", &[("lateral", Plain), ("subquery", Node), ("alias", Of("Alias"))]),
    ("RangeTableSample", &[("relation", Node), ("method", Nodes), ("args", Nodes), ("repeatable", Node)]),
    (
        "RangeVar",
        &[
            ("schemaname", Plain),
            ("relname", Plain),
            ("inh", Plain),
            ("relpersistence", Plain),
            ("alias", Of("Alias")),
        ],
    ),
    ("ResTarget", &[("name", Plain), ("indirection", Nodes), ("val", Node)]),
    ("ReturningClause", &[("exprs", Nodes)]),
    ("RowExpr", &[("args", Nodes), ("row_format", Plain), ("colnames", Nodes)]),
    ("SqlvalueFunction", &[("op", Plain), ("typmod", Plain)]),
    (
        "SelectStmt",
        &[
            ("distinct_clause", Nodes),
            ("into_clause", Of("IntoClause")),
            ("target_list", Nodes),
            ("from_clause", Nodes),
            ("where_clause", Node),
            ("group_clause", Nodes),
            ("group_distinct", Plain),
            ("having_clause", Node),
            ("window_clause", Nodes),
            ("values_lists", Nodes),
            ("sort_clause", Nodes),
            ("limit_offset", Node),
            ("limit_count", Node),
            ("limit_option", Plain),
            ("locking_clause", Nodes),
            ("with_clause", Of("WithClause")),
            ("op", Plain),
            ("all", Plain),
            ("larg", Of("SelectStmt")),
            ("rarg", Of("SelectStmt")),
        ],
    ),
    ("SetToDefault", &[]),
    ("SortBy", &[("node", Node), ("sortby_dir", Plain), ("sortby_nulls", Plain), ("use_op", Nodes)]),
    ("String", &[("sval", Plain)]),
    ("SubLink", &[("sub_link_type", Plain), ("testexpr", Node), ("oper_name", Nodes), ("subselect", Node)]),
    ("TransactionStmt", &[("kind", Plain), ("options", Nodes), ("savepoint_name", Plain), ("chain", Plain)]),
    // Only temporary ones: the names are looked at where the statement is.
    ("TruncateStmt", &[("relations", Nodes), ("restart_seqs", Plain), ("behavior", Plain)]),
    ("TypeCast", &[("arg", Node), ("type_name", Of("TypeName"))]),
    ("TypeName", &[("names", Nodes), ("typmods", Nodes), ("typemod", Plain), ("array_bounds", Nodes)]),
    ("UnlistenStmt", &[("conditionname", Plain)]),
    (
        "UpdateStmt",
        &[
            ("relation", Of("RangeVar")),
            ("target_list", Nodes),
            ("where_clause", Node),
            ("from_clause", Nodes),
            ("returning_clause", Of("ReturningClause")),
            ("with_clause", Of("WithClause")),
        ],
    ),
    ("VariableSetStmt", &[("kind", Plain), ("name", Plain), ("args", Nodes), ("is_local", Plain)]),
    ("VariableShowStmt", &[("name", Plain)]),
    (
        "WindowDef",
        &[
            ("name", Plain),
            ("refname", Plain),
            ("partition_clause", Nodes),
            ("order_clause", Nodes),
            ("frame_options", Plain),
            ("start_offset", Node),
            ("end_offset", Node),
        ],
    ),
    ("WithClause", &[("ctes", Nodes), ("recursive", Plain)]),
    (
        "XmlExpr",
        &[
            ("op", Plain),
            ("name", Plain),
            ("named_args", Nodes),
            ("arg_names", Nodes),
            ("args", Nodes),
            ("xmloption", Plain),
        ],
    ),
    ("XmlSerialize", &[("xmloption", Plain), ("expr", Node), ("type_name", Of("TypeName"))]),
];
