//! The API's own description (OpenAPI 3.1), from the routes themselves.

use chaperone_api::Problem;
use utoipa::openapi::content::Content;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Info, License, OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::caller::SCHEME;
use super::carry::NEVER_AGAIN;
use super::{BASE, endpoints, open_endpoints, watched};
use crate::verbs::Failure;

/// As it stands in `crates/api/openapi.json`.
pub(crate) fn text() -> Result<String, Failure> {
    document().to_pretty_json().map_err(Failure::failed)
}

fn document() -> OpenApi {
    let info = Info::builder()
        .title("Chaperone management API")
        .version("1")
        .description(Some("How to authenticate, page and repeat: docs/reference/api.md."))
        .license(Some(License::new("MIT")))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    document.merge(watched().into_openapi());
    let mut document = document.nest(BASE, open_endpoints().merge(endpoints()).into_openapi());
    let components = document.components.get_or_insert_default();
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    components.security_schemes.insert(SCHEME.to_owned(), RefOr::T(scheme));
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in each(item) {
            complete(path, method, operation);
        }
    }
    document
}

fn each(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, delete, .. } = item;
    let all = [("get", get), ("post", post), ("delete", delete)];
    all.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// What every operation has in common, so that no handler repeats it.
fn complete(path: &str, method: &str, operation: &mut Operation) {
    let words: Vec<&str> =
        path.trim_start_matches(BASE).split(['/', '{', '}', '-']).filter(|part| !part.is_empty()).collect();
    operation.operation_id = Some(format!("{method}_{}", words.join("_")));
    operation.tags = words.first().map(|tag| vec![(*tag).to_owned()]);
    if !path.starts_with(BASE) {
        return;
    }
    let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let refused = ResponseBuilder::new()
        .description("Why it was not done")
        .content("application/problem+json", content)
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(refused));
    // A recording is handed out with an entry each time: no key makes that once.
    let once = method != "get" && !path.ends_with(NEVER_AGAIN);
    if operation.security.is_some() && once {
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The same request with the same key within a day is carried out once"))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
            .build();
        operation.parameters.get_or_insert_default().push(RefOr::T(key));
    }
}
