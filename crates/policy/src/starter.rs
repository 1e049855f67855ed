//! The policies that `chaperone init` writes.

/// File names and texts.
pub const STARTER: &[(&str, &str)] = &[(
    "starter.cedar",
    r#"// Who may do what. Nothing is permitted that no policy permits; a forbid beats every permit.
// Subjects are `issuer/name`, groups `issuer/group`; a relation is `target/schema.name`.

// Members of `dev/engineers` may do everything on the target: their statements pass as they are, and are recorded.
@id("engineers-everything")
permit (
    principal in Group::"dev/engineers",
    action in [Action::"connect", Action::"read", Action::"insert", Action::"update",
               Action::"delete", Action::"define", Action::"call"],
    resource in Target::"ehr"
);

// Members of `dev/readers` may read every relation, and nothing else.
@id("readers-connect")
permit (principal in Group::"dev/readers", action == Action::"connect", resource == Target::"ehr");
@id("readers-read")
permit (principal in Group::"dev/readers", action == Action::"read", resource in Target::"ehr");
"#,
)];
