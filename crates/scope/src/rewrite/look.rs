//! Functions that describe objects are asked only about those that are described to the caller: a look at the object stands
//! in the place of their first argument. What the look lets through is what the function gets.

use pg_query::NodeEnum;
use pg_query::protobuf::{CoalesceExpr, FuncCall, Node};

use super::{Outcome, Rewriter, node, our_expression, refused, string, sval, unfaithful};
use crate::system::Look;
use crate::tree::Value;

/// The function whose first argument may be the name of a relation, too.
const BY_NAME: &str = "pg_get_viewdef";

impl Rewriter<'_> {
    /// The call with its look, every name in it complete.
    pub(super) fn looked_at(&mut self, call: &FuncCall, look: Look) -> Outcome<Node> {
        let mut call = call.clone();
        let plain = !call.func_variadic
            && !call.agg_star
            && !call.agg_distinct
            && call.over.is_none()
            && call.agg_filter.is_none()
            && call.agg_order.is_empty();
        let named = call.args.iter().any(|arg| matches!(arg.node, Some(NodeEnum::NamedArgExpr(_))));
        let Some(name) = call.funcname.last().and_then(sval).map(str::to_owned) else {
            return Err(unfaithful());
        };
        if !plain || named {
            return refused(format!("`{name}` called in an unusual way"), "give it its arguments one by one");
        }
        call.funcname = vec![string("pg_catalog"), string(&name)];
        self.look_arguments(&name, look, &mut call.args)?;
        let asked = call.args.clone();
        let (Some(first), Some(condition)) = (call.args.first_mut(), look.condition(self.telling())) else {
            return Ok(node(NodeEnum::FuncCall(Box::new(call))));
        };
        // What lies there is not planned for.
        let condition = if self.explaining { "false".to_owned() } else { condition };
        let asked_as = if look == Look::Setting {
            "pg_catalog.text"
        } else if name == BY_NAME {
            "pg_catalog.regclass::pg_catalog.oid"
        } else {
            "pg_catalog.oid"
        };
        let text = format!("(SELECT g.o FROM (SELECT NULL::{asked_as} OFFSET 0) AS g(o) WHERE {condition})");
        self.makes(text.len())?;
        *first = self.look(&name, &text, &asked)?;
        let call = node(NodeEnum::FuncCall(Box::new(call)));
        let otherwise = look.otherwise(asked.len()).filter(|_| !self.explaining);
        let Some(otherwise) = otherwise else { return Ok(call) };
        let otherwise = self.look(&name, otherwise, &asked)?;
        Ok(node(NodeEnum::CoalesceExpr(Box::new(CoalesceExpr {
            args: vec![call, otherwise],
            ..CoalesceExpr::default()
        }))))
    }

    /// What is asked, which a look with an answer of its own takes twice: such a one of such a one would double with each.
    fn look_arguments(&mut self, name: &str, look: Look, arguments: &mut [Node]) -> Outcome {
        let doubles = look.otherwise(arguments.len()).is_some();
        if doubles && self.doubling {
            return refused(
                format!("`{name}` in what is asked of a function of its kind"),
                "ask one after the other",
            );
        }
        let before = self.doubling;
        self.doubling |= doubles;
        let done = self.expressions(arguments);
        self.doubling = before;
        done
    }

    /// A sub-select of ours from `(SELECT … OFFSET 0) AS g(…)`, whose NULLs are replaced by what is asked. That one has no
    /// relations, so that every name in what is asked means what it meant, and OFFSET keeps it from being taken twice.
    fn look(&mut self, function: &str, text: &str, asked: &[Node]) -> Outcome<Node> {
        let mut look = our_expression(text)?;
        self.introspect(|this| this.expression(&mut look))?;
        let Some(NodeEnum::SubLink(link)) = &mut look.node else { return Err(unfaithful()) };
        let Some(NodeEnum::SelectStmt(select)) =
            link.subselect.as_mut().and_then(|select| select.node.as_mut())
        else {
            return Err(unfaithful());
        };
        if let Some(condition) = &select.where_clause {
            self.generated.condition(function, super::values(condition)?);
        }
        for item in &select.target_list {
            // What it reads of the system's relations, it reads in a sub-select of its own.
            let Some(NodeEnum::ResTarget(item)) = &item.node else { return Err(unfaithful()) };
            if let Some(NodeEnum::SubLink(link)) = item.val.as_ref().and_then(|value| value.node.as_ref()) {
                let read = link.subselect.as_deref().map_or(Ok(Value::Null), super::values)?;
                self.generated.add(read);
            }
        }
        let from = select.from_clause.first_mut().and_then(|item| item.node.as_mut());
        let Some(NodeEnum::RangeSubselect(sub)) = from else { return Err(unfaithful()) };
        let inner = sub.subquery.as_mut().and_then(|query| query.node.as_mut());
        let Some(NodeEnum::SelectStmt(inner)) = inner else { return Err(unfaithful()) };
        for (item, asked) in inner.target_list.iter_mut().zip(asked) {
            let Some(NodeEnum::ResTarget(item)) = &mut item.node else { return Err(unfaithful()) };
            let mut place = item.val.as_deref_mut();
            while let Some(Node { node: Some(NodeEnum::TypeCast(cast)) }) = place {
                place = cast.arg.as_deref_mut();
            }
            match place {
                Some(place @ Node { node: Some(NodeEnum::AConst(_)) }) => *place = asked.clone(),
                Some(_) | None => return Err(unfaithful()),
            }
        }
        Ok(look)
    }
}
