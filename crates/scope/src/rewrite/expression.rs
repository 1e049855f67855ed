//! What computes: names of functions, operators and types are completed, so that nothing of the session's search path
//! decides what runs.

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{AExpr, AExprKind, CoercionForm, FuncCall, Node, TypeCast, TypeName, WindowDef};

use super::{Outcome, Rewriter, node, our_expression, refused, string, sval, unfaithful};
use crate::walk::quoted;
use crate::{functions, system};

const CATALOG: &str = "pg_catalog";

type Visit<'v> = &'v mut dyn FnMut(&mut Node) -> Outcome;

fn each(nodes: &mut [Node], visit: Visit<'_>) -> Outcome {
    nodes.iter_mut().try_for_each(visit)
}

fn one(node: &mut Option<Box<Node>>, visit: Visit<'_>) -> Outcome {
    match node {
        Some(node) => visit(node),
        None => Ok(()),
    }
}

fn window(window: &mut WindowDef, visit: Visit<'_>) -> Outcome {
    each(&mut window.partition_clause, visit)?;
    each(&mut window.order_clause, visit)?;
    one(&mut window.start_offset, visit)?;
    one(&mut window.end_offset, visit)
}

/// Every node directly inside of an expression. What is not an expression of those that are permitted is refused.
fn children(node: &mut Node, visit: Visit<'_>) -> Outcome {
    match &mut node.node {
        None => Ok(()),
        Some(
            NodeEnum::AConst(_)
            | NodeEnum::ParamRef(_)
            | NodeEnum::ColumnRef(_)
            | NodeEnum::AStar(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_)
            | NodeEnum::Float(_)
            | NodeEnum::Boolean(_)
            | NodeEnum::BitString(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::TypeName(_)
            | NodeEnum::ColumnDef(_)
            | NodeEnum::CurrentOfExpr(_)
            | NodeEnum::Alias(_),
        ) => Ok(()),
        Some(NodeEnum::AExpr(it)) => {
            one(&mut it.lexpr, visit)?;
            one(&mut it.rexpr, visit)
        }
        Some(NodeEnum::BoolExpr(it)) => each(&mut it.args, visit),
        Some(NodeEnum::FuncCall(it)) => {
            each(&mut it.args, visit)?;
            each(&mut it.agg_order, visit)?;
            one(&mut it.agg_filter, visit)?;
            match &mut it.over {
                Some(over) => window(over, visit),
                None => Ok(()),
            }
        }
        Some(NodeEnum::TypeCast(it)) => one(&mut it.arg, visit),
        Some(NodeEnum::CollateClause(it)) => one(&mut it.arg, visit),
        Some(NodeEnum::NullTest(it)) => one(&mut it.arg, visit),
        Some(NodeEnum::BooleanTest(it)) => one(&mut it.arg, visit),
        Some(NodeEnum::CaseExpr(it)) => {
            one(&mut it.arg, visit)?;
            each(&mut it.args, visit)?;
            one(&mut it.defresult, visit)
        }
        Some(NodeEnum::CaseWhen(it)) => {
            one(&mut it.expr, visit)?;
            one(&mut it.result, visit)
        }
        Some(NodeEnum::CoalesceExpr(it)) => each(&mut it.args, visit),
        Some(NodeEnum::MinMaxExpr(it)) => each(&mut it.args, visit),
        Some(NodeEnum::RowExpr(it)) => each(&mut it.args, visit),
        Some(NodeEnum::AArrayExpr(it)) => each(&mut it.elements, visit),
        Some(NodeEnum::AIndices(it)) => {
            one(&mut it.lidx, visit)?;
            one(&mut it.uidx, visit)
        }
        Some(NodeEnum::AIndirection(it)) => {
            one(&mut it.arg, visit)?;
            each(&mut it.indirection, visit)
        }
        Some(NodeEnum::NamedArgExpr(it)) => one(&mut it.arg, visit),
        Some(NodeEnum::GroupingFunc(it)) => each(&mut it.args, visit),
        Some(NodeEnum::GroupingSet(it)) => each(&mut it.content, visit),
        Some(NodeEnum::List(it)) => each(&mut it.items, visit),
        Some(NodeEnum::ResTarget(it)) => {
            each(&mut it.indirection, visit)?;
            one(&mut it.val, visit)
        }
        Some(NodeEnum::MultiAssignRef(it)) => one(&mut it.source, visit),
        Some(NodeEnum::SortBy(it)) => one(&mut it.node, visit),
        Some(NodeEnum::WindowDef(it)) => window(it, visit),
        Some(NodeEnum::XmlExpr(it)) => {
            each(&mut it.named_args, visit)?;
            each(&mut it.args, visit)
        }
        Some(NodeEnum::XmlSerialize(it)) => one(&mut it.expr, visit),
        Some(NodeEnum::SubLink(it)) => {
            one(&mut it.testexpr, visit)?;
            one(&mut it.subselect, visit)
        }
        Some(NodeEnum::IndexElem(it)) => one(&mut it.expr, visit),
        Some(_) => refused(
            "a construct that your permissions do not cover",
            "docs/reference/sql.md lists what they do",
        ),
    }
}

/// Show every column reference to `replace`, which says whether it has put something in its place.
pub(super) fn each_reference(
    node: &mut Node,
    replace: &mut dyn FnMut(&mut Node) -> Outcome<bool>,
) -> Outcome {
    if replace(node)? {
        return Ok(());
    }
    children(node, &mut |inner| each_reference(inner, replace))
}

/// An expression of ours, with a value where `x` stands in it.
pub(super) fn around(text: &str, value: &Node) -> Outcome<Node> {
    let mut made = our_expression(text)?;
    each_reference(&mut made, &mut |inner| {
        let found = matches!(inner.node, Some(NodeEnum::ColumnRef(_)));
        if found {
            inner.clone_from(value);
        }
        Ok(found)
    })?;
    Ok(made)
}

/// A node that resolves an operator by a name which cannot be completed.
fn bare_operator(kind: i32) -> bool {
    let kind = AExprKind::try_from(kind).unwrap_or(AExprKind::Undefined);
    !matches!(kind, AExprKind::AexprOp | AExprKind::AexprOpAny | AExprKind::AexprOpAll)
}

fn complete(name: &mut Vec<Node>) {
    if name.len() == 1 {
        name.insert(0, string(CATALOG));
    }
}

impl Rewriter<'_> {
    pub(super) fn expressions(&mut self, nodes: &mut [Node]) -> Outcome {
        nodes.iter_mut().try_for_each(|node| self.expression(node))
    }

    pub(super) fn optional(&mut self, node: &mut Option<Box<Node>>) -> Outcome {
        match node {
            Some(node) => self.expression(node),
            None => Ok(()),
        }
    }

    pub(super) fn expression(&mut self, node: &mut Node) -> Outcome {
        match &mut node.node {
            Some(NodeEnum::SelectStmt(_)) => return self.query(node),
            Some(NodeEnum::ColumnRef(_)) => return self.reference(node),
            Some(NodeEnum::FuncCall(call)) => {
                if let Some(instead) = self.call(call)? {
                    *node = instead;
                    return Ok(());
                }
            }
            Some(NodeEnum::AExpr(it)) => {
                self.spell_out(it);
                if !bare_operator(it.kind) {
                    self.operator(&mut it.name);
                }
            }
            Some(NodeEnum::SubLink(it)) => complete(&mut it.oper_name),
            Some(NodeEnum::SortBy(it)) => complete(&mut it.use_op),
            Some(NodeEnum::TypeCast(it)) => {
                if let Some(name) = &mut it.type_name {
                    self.type_name(name)?;
                }
                spelled_out(it);
                if is_blank_padded(it) {
                    node.node = Some(padded(it.arg.take()));
                }
            }
            Some(NodeEnum::XmlSerialize(it)) => {
                if let Some(name) = &mut it.type_name {
                    self.type_name(name)?;
                }
            }
            Some(NodeEnum::CollateClause(it)) => complete_collation(&mut it.collname),
            Some(NodeEnum::CurrentOfExpr(_)) => self.current_of()?,
            Some(NodeEnum::IndexElem(it)) => {
                complete_collation(&mut it.collation);
                // One of the target's own could have code of its own.
                complete(&mut it.opclass);
            }
            Some(_) | None => {}
        }
        let (called, cast) = (called(node), cast(node)?);
        children(node, &mut |inner| self.expression(inner))?;
        if let (Some(name), Some(NodeEnum::ResTarget(item))) = (cast, &mut node.node) {
            item.name = name;
        }
        // What stands in the place of a call keeps its name in the result.
        if let (Some(name), Some(NodeEnum::ResTarget(item))) = (called, &mut node.node)
            && !matches!(item.val.as_ref().and_then(|value| value.node.as_ref()), Some(NodeEnum::FuncCall(_)))
        {
            item.name = name;
        }
        Ok(())
    }

    /// A column: the schema of its relation is left out, because the relation has an alias of that name now.
    fn reference(&mut self, node: &mut Node) -> Outcome {
        let Some(NodeEnum::ColumnRef(column)) = &mut node.node else { return Ok(()) };
        let kept = column.fields.len().saturating_sub(2);
        column.fields.drain(..kept);
        match self.target.take() {
            None => Ok(()),
            Some(target) => {
                // What stands for the column may be ours, and its names are completed like all others.
                let done = self
                    .makes(target.longest())
                    .and_then(|()| target.reference(node))
                    .and_then(|()| self.expression(node));
                self.target = Some(target);
                done
            }
        }
    }

    /// A cursor stands on a row of a relation that it reads as it is: of one that a sub-select stands for it does not.
    fn current_of(&self) -> Outcome {
        match &self.target {
            Some(target) if target.stands_for_itself() => Ok(()),
            Some(_) | None => refused(
                "WHERE CURRENT OF, for a relation of which you see a part,",
                "name the row by its key",
            ),
        }
    }

    /// A call; what is put in its place where it tells about pages and bytes.
    fn call(&mut self, call: &mut FuncCall) -> Outcome<Option<Node>> {
        let name = call.funcname.iter().filter_map(sval).collect::<Vec<_>>();
        let name = match name.as_slice() {
            [name] | [CATALOG, name] => (*name).to_owned(),
            _ => return self.true_type(call),
        };
        if let Some(instead) = functions::instead_of(&name)
            && !(functions::measures(&name) && call.args.iter().all(is_given))
        {
            return nothing(&name, &instead, &call.args).map(Some);
        }
        if let Some(look) = system::look(&name).filter(|_| !self.introspecting) {
            let first = call.args.first().map(super::values).transpose()?;
            if !look.is_open(first.as_ref()) {
                return self.looked_at(call, look).map(Some);
            }
        }
        // An extension may have functions of a built-in one's name for its own types.
        if call.funcname.len() == 1 && !functions::extension_function(self.catalog, &name) {
            let home = if self.catalog.builtin.contains_key(name.as_str()) {
                Some(CATALOG)
            } else {
                functions::home(self.catalog, &name, self.path)
            };
            let Some(home) = home else { return refused(format!("function `{name}`"), "name its schema") };
            call.funcname.insert(0, string(home));
        }
        Ok(None)
    }

    /// `information_schema._pg_truetypid(a.*, t.*)` and its like want rows of `pg_attribute` and `pg_type` themselves: what they
    /// compute is written out.
    fn true_type(&mut self, call: &FuncCall) -> Outcome<Option<Node>> {
        let names = call.funcname.iter().filter_map(sval).collect::<Vec<_>>();
        let (own, base) = match names.as_slice() {
            ["information_schema", "_pg_truetypid"] => ("atttypid", "typbasetype"),
            ["information_schema", "_pg_truetypmod"] => ("atttypmod", "typtypmod"),
            _ => return Ok(None),
        };
        let rows: Vec<String> = call.args.iter().filter_map(row_of).map(quoted).collect();
        let ([attribute, typ], 2) = (rows.as_slice(), call.args.len()) else { return Ok(None) };
        let mut written = our_expression(&format!(
            "CASE WHEN {typ}.typtype = 'd' THEN {typ}.{base} ELSE {attribute}.{own} END"
        ))?;
        self.expression(&mut written)?;
        Ok(Some(written))
    }

    /// LIKE and its kin are operators without a schema: where somebody has made one of that name, the operator that is meant is
    /// written instead.
    fn spell_out(&self, it: &mut AExpr) {
        let kind = AExprKind::try_from(it.kind).unwrap_or(AExprKind::Undefined);
        let is_like = matches!(kind, AExprKind::AexprLike | AExprKind::AexprIlike | AExprKind::AexprSimilar);
        if is_like && it.name.first().and_then(sval).is_some_and(|name| self.catalog.operators.contains(name))
        {
            it.kind = AExprKind::AexprOp as i32;
        }
    }

    /// An operator: the built-in one, unless all others of that name belong to extensions that may be used.
    fn operator(&self, name: &mut Vec<Node>) {
        let extension =
            name.first().and_then(sval).is_some_and(|name| functions::extension_operator(self.catalog, name));
        if !extension {
            complete(name);
        }
    }

    /// A type: built in, or an enumeration of the catalog's.
    pub(super) fn type_name(&mut self, name: &mut TypeName) -> Outcome {
        for modifier in &mut name.typmods {
            self.expression(modifier)?;
        }
        let names: Vec<&str> = name.names.iter().filter_map(sval).collect();
        if let [schema, typ] = names.as_slice()
            && let Some(typ) = functions::written_as(schema, typ)
        {
            name.names = vec![string(CATALOG), string(typ)];
            return Ok(());
        }
        let [plain] = names.as_slice() else { return Ok(()) };
        if self.catalog.builtin_types.contains(*plain) {
            name.names.insert(0, string(CATALOG));
            // An array of it is written as what would be read as an array of single characters.
            if is_bare(name) && !name.array_bounds.is_empty() {
                name.names = vec![string(CATALOG), string(&format!("_{PADDED}"))];
                name.array_bounds.clear();
            }
            return Ok(());
        }
        let homes: Vec<&str> = functions::homes_of_type(self.catalog, plain).collect();
        let is_row = |schema: &str| functions::is_row_type(self.catalog, schema, plain);
        match self.path.iter().find(|schema| homes.contains(&&***schema) || is_row(schema)) {
            // The first of the path is meant, whatever others of that name there are.
            Some(schema) if functions::is_allowed_type(self.catalog, schema, plain) || is_row(schema) => {
                name.names.insert(0, string(schema));
                Ok(())
            }
            Some(schema) => refused(
                format!("type `{schema}.{plain}`, which is not among those that your permissions cover,"),
                "built-in types and enums are",
            ),
            None => refused(format!("type `{plain}`, which is not in your search path"), "name its schema"),
        }
    }
}

/// Whether a value is the statement's own: no relation and no function has had it.
fn is_given(value: &Node) -> bool {
    match &value.node {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().is_some_and(is_given),
        Some(NodeEnum::AArrayExpr(array)) => array.elements.iter().all(is_given),
        Some(NodeEnum::RowExpr(row)) => row.args.iter().all(is_given),
        Some(_) | None => false,
    }
}

/// What stands in the place of a call. A parameter is still there, as what it would have been taken for.
fn nothing(name: &str, instead: &str, arguments: &[Node]) -> Outcome<Node> {
    let parameter = arguments.first().filter(|first| matches!(first.node, Some(NodeEnum::ParamRef(_))));
    let (Some(parameter), Some(typ)) = (parameter, functions::argument_of(name)) else {
        return our_expression(instead);
    };
    let test = format!("CAST(NULL AS {CATALOG}.{typ}) IS NULL");
    let mut made = our_expression(&format!("CASE WHEN {test} THEN {instead} ELSE {instead} END"))?;
    let place = match &mut made.node {
        Some(NodeEnum::CaseExpr(case)) => match case.args.first_mut().and_then(|when| when.node.as_mut()) {
            Some(NodeEnum::CaseWhen(when)) => when.expr.as_mut().and_then(|test| test.node.as_mut()),
            Some(_) | None => None,
        },
        Some(_) | None => None,
    };
    match place {
        Some(NodeEnum::NullTest(test)) => match test.arg.as_mut().and_then(|cast| cast.node.as_mut()) {
            Some(NodeEnum::TypeCast(cast)) => cast.arg = Some(Box::new(parameter.clone())),
            Some(_) | None => return Err(unfaithful()),
        },
        Some(_) | None => return Err(unfaithful()),
    }
    Ok(made)
}

/// What a whole row is of: `x.*`.
fn row_of(argument: &Node) -> Option<&str> {
    let Some(NodeEnum::ColumnRef(column)) = &argument.node else { return None };
    match column.fields.as_slice() {
        [of, Node { node: Some(NodeEnum::AStar(_)) }] => sval(of),
        _ => None,
    }
}

/// The type of `character` with no length. What is written for a cast to it would be read as `character(1)`.
const PADDED: &str = "bpchar";

/// Whether it is that type, or an array of it.
fn is_bare(name: &TypeName) -> bool {
    name.typmods.is_empty() && name.names.last().and_then(sval) == Some(PADDED)
}

fn is_blank_padded(cast: &TypeCast) -> bool {
    cast.type_name.as_ref().is_some_and(|name| is_bare(name) && name.array_bounds.is_empty())
}

/// `'t'` and `'f'` as truth values are written out as the keywords, which are not casts.
fn spelled_out(cast: &mut TypeCast) {
    let is_bool =
        |name: &TypeName| name.array_bounds.is_empty() && name.names.last().and_then(sval) == Some("bool");
    let Some(NodeEnum::AConst(constant)) = cast.arg.as_mut().and_then(|value| value.node.as_mut()) else {
        return;
    };
    if let Some(Val::Sval(text)) = &mut constant.val
        && cast.type_name.as_ref().is_some_and(is_bool)
    {
        match text.sval.as_str() {
            "t" => "true".clone_into(&mut text.sval),
            "f" => "false".clone_into(&mut text.sval),
            _ => {}
        }
    }
}

/// A cast as the call that PostgreSQL takes for the same cast.
fn padded(value: Option<Box<Node>>) -> NodeEnum {
    NodeEnum::FuncCall(Box::new(FuncCall {
        funcname: vec![string(CATALOG), string(PADDED)],
        args: value.map(|value| *value).into_iter().collect(),
        funcformat: CoercionForm::CoerceExplicitCall as i32,
        ..FuncCall::default()
    }))
}

/// The name of a result without a name of its own that is a cast which is written in another way.
fn cast(node: &Node) -> Outcome<Option<String>> {
    let Some(NodeEnum::ResTarget(item)) = &node.node else { return Ok(None) };
    let Some(NodeEnum::TypeCast(outer)) = item.val.as_ref().and_then(|value| value.node.as_ref()) else {
        return Ok(None);
    };
    let (mut inner, mut other) = (outer, false);
    let innermost = loop {
        other |= inner.type_name.as_ref().is_some_and(is_bare);
        match inner.arg.as_ref().and_then(|value| value.node.as_ref()) {
            Some(NodeEnum::TypeCast(cast)) => inner = cast,
            innermost => break innermost,
        }
    };
    if !other || !item.name.is_empty() {
        return Ok(None);
    }
    // As PostgreSQL names results: by the column or function, and by the type where there is neither.
    let name = match innermost {
        Some(NodeEnum::ColumnRef(column)) => column.fields.last().and_then(sval),
        Some(NodeEnum::FuncCall(call)) => call.funcname.last().and_then(sval),
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::AExpr(_)) => {
            outer.type_name.as_ref().and_then(|name| name.names.last()).and_then(sval)
        }
        Some(_) | None => None,
    };
    match name {
        Some(name) => Ok(Some(name.to_owned())),
        None => refused("a cast to `bpchar` without a name", "name the result with AS, or cast to `text`"),
    }
}

/// The name of a result that is a call without a name of its own.
fn called(node: &Node) -> Option<String> {
    let Some(NodeEnum::ResTarget(item)) = &node.node else { return None };
    match item.val.as_ref().and_then(|value| value.node.as_ref()) {
        Some(NodeEnum::FuncCall(call)) if item.name.is_empty() => {
            call.funcname.last().and_then(sval).map(str::to_owned)
        }
        Some(_) | None => None,
    }
}

pub(super) fn complete_collation(name: &mut Vec<Node>) {
    // Collations of the catalog alone: another one could not do more than sort.
    if name.len() == 1 {
        name.insert(0, string(CATALOG));
    }
}

/// An item of a list of results.
pub(super) fn item(value: Node, name: &str) -> Node {
    node(NodeEnum::ResTarget(Box::new(pg_query::protobuf::ResTarget {
        name: name.to_owned(),
        indirection: Vec::new(),
        val: Some(Box::new(value)),
        location: 0,
    })))
}
