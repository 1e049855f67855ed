//! The session's own temporary tables: what they are made of, and what is done to them. They hold what their caller could read, and
//! code of the target's own has no place in them.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableStmt, ColumnDef, Constraint, CreateStmt, DropStmt, IndexStmt, Node, ObjectType, RangeVar,
    TableLikeClause, TruncateStmt,
};

use super::relation::Named;
use super::{Outcome, Rewriter, refused, string, sval, unfaithful};
use crate::catalog::Relation;
use crate::functions;
use crate::walk::{TEMPORARY, quoted};

/// Names in the place of a type that the grammar of CREATE TABLE takes for an integer with a sequence, whatever types there are.
const SERIAL: [&str; 6] = ["bigserial", "serial", "serial2", "serial4", "serial8", "smallserial"];
/// What LIKE may copy beside names and types without copying code or other objects: comments, compression, statistics, storage.
const LIKE_PLAIN: u32 = 1 | 1 << 1 | 1 << 7 | 1 << 8;

/// Whether a type's name is one of those.
pub(crate) fn is_serial(names: &[&str]) -> bool {
    matches!(names, [name] if SERIAL.contains(name))
}

impl Rewriter<'_> {
    pub(super) fn create_temporary(&mut self, it: &mut CreateStmt) -> Outcome {
        match &mut it.relation {
            Some(relation) => self.make(relation)?,
            None => return Err(unfaithful()),
        }
        let mut elements = Vec::with_capacity(it.table_elts.len());
        for mut element in std::mem::take(&mut it.table_elts) {
            match &mut element.node {
                Some(NodeEnum::ColumnDef(column)) => self.column(column)?,
                Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint)?,
                Some(NodeEnum::TableLikeClause(like)) => {
                    if let Some(columns) = self.like(like)? {
                        elements.extend(columns);
                        continue;
                    }
                }
                Some(_) | None => return refused("a table made of something unknown", "name its columns"),
            }
            elements.push(element);
        }
        it.table_elts = elements;
        Ok(())
    }

    fn column(&mut self, column: &mut ColumnDef) -> Outcome {
        if let Some(name) = &mut column.type_name {
            let plain = name.array_bounds.is_empty() && name.typmods.is_empty();
            let names: Vec<&str> = name.names.iter().filter_map(sval).collect();
            if !(plain && is_serial(&names)) {
                self.type_name(name)?;
            }
        }
        self.optional(&mut column.raw_default)?;
        if let Some(collation) = &mut column.coll_clause {
            super::expression::complete_collation(&mut collation.collname);
        }
        for constraint in &mut column.constraints {
            let Some(NodeEnum::Constraint(constraint)) = &mut constraint.node else {
                return Err(unfaithful());
            };
            self.constraint(constraint)?;
        }
        Ok(())
    }

    fn constraint(&mut self, constraint: &mut Constraint) -> Outcome {
        if let Some(other) = &mut constraint.pktable {
            match self.stored(other)? {
                Named::Temporary => TEMPORARY.clone_into(&mut other.schemaname),
                Named::Cte(_) | Named::Relation(_, _) => {
                    return refused(
                        "a foreign key to what is not temporary",
                        "leave it out of a temporary table",
                    );
                }
            }
        }
        // What an identity's sequence begins with and is of, as numbers and a type.
        for option in &mut constraint.options {
            let Some(NodeEnum::DefElem(option)) = &mut option.node else { return Err(unfaithful()) };
            if let Some(Node { node: Some(NodeEnum::TypeName(name)) }) = option.arg.as_deref_mut() {
                self.type_name(name)?;
            }
        }
        self.optional(&mut constraint.raw_expr)
    }

    /// A table made like another: like a temporary one as it is written; of any other the columns that it has, as they are
    /// handed on, because that names nothing of the other's. `None` where it stays as it is.
    fn like(&mut self, like: &mut TableLikeClause) -> Outcome<Option<Vec<Node>>> {
        let options = like.options;
        let Some(relation) = &mut like.relation else { return Err(unfaithful()) };
        let known = match self.stored(relation)? {
            Named::Cte(_) => return Err(unfaithful()),
            Named::Temporary => {
                TEMPORARY.clone_into(&mut relation.schemaname);
                return Ok(None);
            }
            Named::Relation(full, known) => {
                full.schema.as_ref().clone_into(&mut relation.schemaname);
                known
            }
        };
        if known.columns.is_empty() {
            return refused("LIKE of a system relation", "name the columns");
        }
        if options & !LIKE_PLAIN == 0 {
            let mut columns = columns(known)?;
            for column in &mut columns {
                let Some(NodeEnum::ColumnDef(column)) = &mut column.node else { return Err(unfaithful()) };
                self.column(column)?;
            }
            return Ok(Some(columns));
        }
        // Its defaults and checks are the caller's then, who reads what they give. What stands for itself has no type with code.
        let runs = known.active || known.called.iter().any(|name| !functions::is_carried(self.catalog, name));
        if !self.stands_for_itself(known) || !self.scope.is_whole() || runs {
            return refused(
                "LIKE with INCLUDING, of a relation of which you see a part or whose defaults and checks call what you may not,",
                "write LIKE without it, and the defaults and keys that the table should have",
            );
        }
        Ok(None)
    }

    /// The session's own table, by its complete name.
    pub(super) fn own(&mut self, relation: &mut Option<RangeVar>) -> Outcome {
        let Some(relation) = relation else { return Err(unfaithful()) };
        match self.stored(relation)? {
            Named::Temporary => {
                TEMPORARY.clone_into(&mut relation.schemaname);
                Ok(())
            }
            Named::Cte(_) | Named::Relation(_, _) => {
                refused("a change of what is not temporary", "ask for every permission on the target")
            }
        }
    }

    pub(super) fn index_temporary(&mut self, it: &mut IndexStmt) -> Outcome {
        self.own(&mut it.relation)?;
        self.expressions(&mut it.index_params)?;
        self.expressions(&mut it.index_including_params)?;
        self.optional(&mut it.where_clause)
    }

    pub(super) fn alter_temporary(&mut self, it: &mut AlterTableStmt) -> Outcome {
        self.own(&mut it.relation)?;
        for command in &mut it.cmds {
            let Some(NodeEnum::AlterTableCmd(command)) = &mut command.node else { return Err(unfaithful()) };
            let Some(definition) = &mut command.def else { continue };
            match &mut definition.node {
                Some(NodeEnum::ColumnDef(column)) => self.column(column)?,
                Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint)?,
                Some(_) => self.expression(definition)?,
                None => return Err(unfaithful()),
            }
        }
        Ok(())
    }

    pub(super) fn truncate_temporary(&mut self, it: &mut TruncateStmt) -> Outcome {
        for item in &mut it.relations {
            let Some(NodeEnum::RangeVar(relation)) = &mut item.node else { return Err(unfaithful()) };
            match self.stored(relation)? {
                Named::Temporary => TEMPORARY.clone_into(&mut relation.schemaname),
                Named::Cte(_) | Named::Relation(_, _) => {
                    return refused(
                        "TRUNCATE of what is not temporary",
                        "DELETE takes the rows that you may delete",
                    );
                }
            }
        }
        Ok(())
    }

    pub(super) fn drop_temporary(&mut self, it: &mut DropStmt) -> Outcome {
        for object in &mut it.objects {
            let Some(NodeEnum::List(names)) = &mut object.node else { return Err(unfaithful()) };
            let parts: Vec<&str> = names.items.iter().filter_map(sval).collect();
            let name = match parts.as_slice() {
                [name] | [TEMPORARY, name] => *name,
                _ => return refused("DROP of what is not temporary", "ask for `define`"),
            };
            // An index of that name elsewhere is not meant by what is sent.
            let own = it.remove_type == ObjectType::ObjectIndex as i32
                || self.temporary.iter().any(|known| **known == *name);
            let nothing = it.missing_ok && self.catalog.resolve("", name, self.path).is_none();
            if !own && !nothing {
                return refused("DROP of what is not temporary", "ask for `define`");
            }
            names.items = vec![string(TEMPORARY), string(name)];
        }
        Ok(())
    }
}

/// The columns of a relation with the types that their values are handed on as.
fn columns(relation: &Relation) -> Outcome<Vec<Node>> {
    let list = relation.columns.iter().map(|column| {
        let needed = if column.not_null { " NOT NULL" } else { "" };
        format!("{} {}{needed}", quoted(&column.name), column.base)
    });
    let mut tree = super::parse(&format!("CREATE TABLE t ({})", list.collect::<Vec<_>>().join(", ")))?;
    match tree.stmts.pop().and_then(|raw| raw.stmt).and_then(|statement| statement.node) {
        Some(NodeEnum::CreateStmt(it)) => Ok(it.table_elts),
        Some(_) | None => Err(unfaithful()),
    }
}

#[cfg(test)]
mod tests;
