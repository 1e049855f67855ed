//! sqlx: a pool, statements prepared and cached by text, types described by asking the catalog.

use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row, TypeInfo, ValueRef};

use crate::{Asked, BIG, Outcome, date, digest};

/// Run every case through one pool.
pub(crate) async fn all(url: &str) -> Outcome {
    let pool = PgPoolOptions::new().max_connections(4).connect(url).await?;
    pool.execute("drop schema if exists driver_sqlx cascade; create schema driver_sqlx").await?;
    pool.execute("create table driver_sqlx.t (id integer primary key, word text)").await?;
    let mut found = Map::new();
    let mut put = |name: &str, outcome: Outcome| {
        let value = outcome.unwrap_or_else(|error| json!({ "error": error.to_string() }));
        found.insert(name.to_owned(), value);
    };
    put("prepared_reused", prepared_reused(&pool).await);
    put("types", types(&pool).await);
    put("big_values", big_values(&pool).await);
    put("rollback", rollback(&pool).await);
    put("error_then_continue", error_then_continue(&pool).await);
    put("streamed", streamed(&pool).await);
    put("described", described(&pool).await);
    put("copy", copy(&pool).await);
    put("notify", notify(&pool).await);
    pool.execute("drop schema driver_sqlx cascade").await?;
    pool.close().await;
    Ok(Value::Object(found))
}

/// What each statement shows for each number, prepared, with the types of the columns. The driver asks for binary values only.
pub(crate) async fn seen(url: &str, asked: &Asked) -> Outcome {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    let mut found = Vec::new();
    for text in &asked.statements {
        for number in &asked.numbers {
            let rows = sqlx::query(AssertSqlSafe(text.as_str())).bind(*number).fetch_all(&pool).await?;
            // A row knows its columns; where there are none, nothing is known.
            let columns = rows.first().map(PgRow::columns).unwrap_or_default();
            let types: Vec<Option<u32>> = columns.iter().map(|column| column.type_info().oid().map(|oid| oid.0)).collect();
            let rows = rows.iter().map(shown).collect::<Result<Vec<Value>, _>>()?;
            found.push(json!({ "types": types, "rows": rows }));
        }
    }
    pool.close().await;
    Ok(json!(found))
}

/// The values of a row.
fn shown(row: &PgRow) -> Outcome {
    let mut values = Vec::new();
    for (at, column) in row.columns().iter().enumerate() {
        values.push(match column.type_info().name() {
            "INT4" => json!(row.try_get::<Option<i32>, _>(at)?),
            "BOOL" => json!(row.try_get::<Option<bool>, _>(at)?),
            "TEXT" | "CHAR" => json!(row.try_get::<Option<String>, _>(at)?),
            "DATE" => json!(row.try_get_unchecked::<Option<i32>, _>(at)?.map(date)),
            _ => {
                let value = row.try_get_raw(at)?;
                let bytes = if value.is_null() { None } else { value.as_bytes().ok() };
                json!(bytes.map(digest))
            }
        });
    }
    Ok(json!(values))
}

async fn prepared_reused(pool: &PgPool) -> Outcome {
    let mut found = Vec::new();
    for n in 0..100_i32 {
        found.push(sqlx::query_scalar::<_, i32>("select $1 * 2").bind(n).fetch_one(pool).await?);
    }
    Ok(json!(found))
}

async fn types(pool: &PgPool) -> Outcome {
    let row = sqlx::query("select $1::text, $2::int4[], null::text, 1.5::float8, '\\x00ff'::bytea, true")
        .bind("Zoë 李 🩺 O'Brien \\ %")
        .bind(vec![Some(1_i32), None])
        .fetch_one(pool)
        .await?;
    Ok(json!([
        row.try_get::<String, _>(0)?,
        row.try_get::<Vec<Option<i32>>, _>(1)?,
        row.try_get::<Option<String>, _>(2)?,
        row.try_get::<f64, _>(3)?,
        row.try_get::<Vec<u8>, _>(4)?,
        row.try_get::<bool, _>(5)?
    ]))
}

async fn big_values(pool: &PgPool) -> Outcome {
    let data: Vec<u8> = (0..BIG).map(|n| (n % 256) as u8).collect();
    let row = sqlx::query("select $1::text, $2::bytea").bind("x".repeat(BIG)).bind(data).fetch_one(pool).await?;
    Ok(json!([digest(row.try_get::<String, _>(0)?.as_bytes()), digest(&row.try_get::<Vec<u8>, _>(1)?)]))
}

async fn rollback(pool: &PgPool) -> Outcome {
    let mut gone = pool.begin().await?;
    sqlx::query("insert into driver_sqlx.t (id) values (1)").execute(&mut *gone).await?;
    gone.rollback().await?;
    let mut kept = pool.begin().await?;
    sqlx::query("insert into driver_sqlx.t (id, word) values (2, 'kept')").execute(&mut *kept).await?;
    let mut inner = kept.begin().await?;
    let failed = sqlx::query("insert into driver_sqlx.t (id) values (2)").execute(&mut *inner).await.err();
    inner.rollback().await?;
    kept.commit().await?;
    let failed = failed.as_ref().and_then(|error| error.as_database_error()?.code().map(|code| code.into_owned()));
    let rows: Vec<(i32, String)> = sqlx::query_as("select id, word from driver_sqlx.t order by id").fetch_all(pool).await?;
    Ok(json!([failed, rows]))
}

async fn error_then_continue(pool: &PgPool) -> Outcome {
    let mut connection = pool.acquire().await?;
    let mut found = Vec::new();
    for text in ["select 1/0", "selekt", "select * from driver_sqlx.gone", "select 1"] {
        found.push(match sqlx::query(text).fetch_all(&mut *connection).await {
            Ok(rows) => json!(rows.len()),
            Err(error) => {
                let error = error.as_database_error();
                json!([error.and_then(|error| error.code()), error.map(|error| error.message())])
            }
        });
    }
    Ok(json!(found))
}

async fn streamed(pool: &PgPool) -> Outcome {
    let rows = sqlx::query_scalar::<_, i32>("select n from generate_series(1, 5000) n").fetch(pool);
    Ok(json!(rows.try_fold(0_i64, |sum, n| async move { Ok(sum + i64::from(n)) }).await?))
}

/// Types that the driver has to ask the catalog about.
async fn described(pool: &PgPool) -> Outcome {
    pool.execute("create type driver_sqlx.mood as enum ('low', 'high')").await?;
    let row = sqlx::query("select 'low'::driver_sqlx.mood, array['high']::driver_sqlx.mood[]").fetch_one(pool).await?;
    let names = row.columns().iter().map(|column| sqlx::TypeInfo::name(sqlx::Column::type_info(column)).to_owned());
    Ok(json!(names.collect::<Vec<_>>()))
}

async fn copy(pool: &PgPool) -> Outcome {
    let mut connection = pool.acquire().await?;
    let mut sink = connection.copy_in_raw("copy driver_sqlx.t (id, word) from stdin").await?;
    for n in 1000..3000 {
        sink.send(format!("{n}\tw\u{f6}rd {n}\n").as_bytes()).await?;
    }
    let taken = sink.finish().await?;
    let stream = connection.copy_out_raw("copy (select * from driver_sqlx.t where id >= 1000 order by id) to stdout").await?;
    let bytes = stream.try_fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    let bytes = bytes.await?;
    connection.ping().await?;
    Ok(json!([taken, digest(&bytes)]))
}

async fn notify(pool: &PgPool) -> Outcome {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("driver_sqlx").await?;
    sqlx::query("select pg_notify('driver_sqlx', $1)").bind("first").execute(pool).await?;
    pool.execute("notify driver_sqlx, 'second'").await?;
    let mut found = Vec::new();
    while found.len() < 2 {
        let notice = listener.recv().await?;
        found.push([notice.channel().to_owned(), notice.payload().to_owned()]);
    }
    Ok(json!(found))
}
