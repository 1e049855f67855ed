//! tokio-postgres.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use serde_json::{Map, Value, json};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls, Row, SimpleQueryMessage};

use crate::{Asked, BIG, Outcome, date, digest};

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its end is seen through the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Run every case on a connection of its own.
pub(crate) async fn all(url: &str) -> Outcome {
    let setup = connect(url).await?;
    setup
        .batch_execute(
            "drop schema if exists driver_rust cascade; create schema driver_rust;
             create table driver_rust.t (id integer primary key, word text)",
        )
        .await?;
    let mut found = Map::new();
    let mut put = |name: &str, outcome: Outcome| {
        let value = outcome.unwrap_or_else(|error| json!({ "error": error.to_string() }));
        found.insert(name.to_owned(), value);
    };
    put("simple", simple(connect(url).await?).await);
    put("prepared_reused", prepared_reused(connect(url).await?).await);
    put("types", types(connect(url).await?).await);
    put("pipelined", pipelined(connect(url).await?).await);
    put("big_values", big_values(connect(url).await?).await);
    put("rollback", rollback(connect(url).await?).await);
    put("error_then_continue", error_then_continue(connect(url).await?).await);
    put("copy", copy(connect(url).await?).await);
    put("portal", portal(connect(url).await?).await);
    put("cancel", cancel(connect(url).await?).await);
    put("notify", notify(url).await);
    setup.batch_execute("drop schema driver_rust cascade").await?;
    Ok(Value::Object(found))
}

/// What each statement shows for each number, prepared, with the types of the columns. The driver knows one format only: binary.
pub(crate) async fn seen(url: &str, asked: &Asked) -> Outcome {
    let c = connect(url).await?;
    let mut found = Vec::new();
    for text in &asked.statements {
        let statement = c.prepare(text).await?;
        let types: Vec<u32> = statement.columns().iter().map(|column| column.type_().oid()).collect();
        for number in &asked.numbers {
            let rows = c.query(&statement, &[number]).await?;
            let rows = rows.iter().map(shown).collect::<Result<Vec<Value>, _>>()?;
            found.push(json!({ "types": types, "rows": rows }));
        }
    }
    Ok(json!(found))
}

/// A value of any type as it was sent.
struct Sent(Vec<u8>);

impl<'a> FromSql<'a> for Sent {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The values of a row.
fn shown(row: &Row) -> Outcome {
    let mut values = Vec::new();
    for (at, column) in row.columns().iter().enumerate() {
        values.push(match *column.type_() {
            Type::INT4 => json!(row.try_get::<_, Option<i32>>(at)?),
            Type::BOOL => json!(row.try_get::<_, Option<bool>>(at)?),
            Type::TEXT | Type::BPCHAR => json!(row.try_get::<_, Option<String>>(at)?),
            Type::DATE => {
                let days = row.try_get::<_, Option<Sent>>(at)?.map(|Sent(bytes)| i32::from_sql(&Type::INT4, &bytes));
                json!(days.transpose().map_err(|error| error.to_string())?.map(date))
            }
            _ => json!(row.try_get::<_, Option<Sent>>(at)?.map(|Sent(bytes)| digest(&bytes))),
        });
    }
    Ok(json!(values))
}

async fn simple(c: Client) -> Outcome {
    let messages = c.simple_query("select 1 as one, null as two; insert into driver_rust.t (id) values (1); select 'x'").await?;
    let found = messages.iter().map(|message| match message {
        SimpleQueryMessage::Row(row) => json!((0..row.len()).map(|n| row.get(n)).collect::<Vec<_>>()),
        SimpleQueryMessage::CommandComplete(count) => json!(count),
        SimpleQueryMessage::RowDescription(columns) => json!(columns.iter().map(|c| c.name()).collect::<Vec<_>>()),
        _ => json!("other"),
    });
    Ok(found.collect())
}

async fn prepared_reused(c: Client) -> Outcome {
    let statement = c.prepare("select $1::int4 * 2").await?;
    let mut found = vec![json!(statement.params().iter().map(|kind| kind.name()).collect::<Vec<_>>())];
    for n in 0..100_i32 {
        found.push(json!(c.query_one(&statement, &[&n]).await?.get::<_, i32>(0)));
    }
    Ok(json!(found))
}

async fn types(c: Client) -> Outcome {
    let text = "Zoë 李 🩺 O'Brien \\ %";
    let row = c
        .query_one(
            "select $1::text, length($1), $2::int4[], null::text, 1.5::float8, '\\x00ff'::bytea, $3::text[], true",
            &[&text, &vec![Some(1_i32), None], &vec![Some("a"), None, Some("")]],
        )
        .await?;
    Ok(json!([
        row.get::<_, String>(0),
        row.get::<_, i32>(1),
        row.get::<_, Vec<Option<i32>>>(2),
        row.get::<_, Option<String>>(3),
        row.get::<_, f64>(4),
        row.get::<_, Vec<u8>>(5),
        row.get::<_, Vec<Option<String>>>(6),
        row.get::<_, bool>(7)
    ]))
}

/// Futures polled together go out as one pipeline; one that fails takes only itself.
async fn pipelined(c: Client) -> Outcome {
    let statement = c.prepare("select 100 / $1::int4").await?;
    let asked: Vec<i32> = (0..50).map(|n| n % 10).collect();
    let answers = future::join_all(asked.iter().map(|n| {
        let (c, statement) = (&c, &statement);
        async move { c.query_one(statement, &[n]).await }
    }))
    .await;
    let found = answers.iter().map(|answer| match answer {
        Ok(row) => json!(row.get::<_, i32>(0)),
        Err(error) => json!(error.code().map(|code| code.code())),
    });
    Ok(found.collect())
}

async fn big_values(c: Client) -> Outcome {
    let text = "x".repeat(BIG);
    let data: Vec<u8> = (0..BIG).map(|n| (n % 256) as u8).collect();
    let row = c.query_one("select $1::text, $2::bytea", &[&text, &data]).await?;
    Ok(json!([digest(row.get::<_, &str>(0).as_bytes()), digest(row.get::<_, &[u8]>(1))]))
}

async fn rollback(mut c: Client) -> Outcome {
    let gone = c.transaction().await?;
    gone.execute("insert into driver_rust.t (id) values (10)", &[]).await?;
    gone.rollback().await?;
    let mut kept = c.transaction().await?;
    kept.execute("insert into driver_rust.t (id, word) values (11, 'kept')", &[]).await?;
    let inner = kept.savepoint("s").await?;
    let failed = inner.execute("insert into driver_rust.t (id) values (11)", &[]).await.err();
    let failed = failed.and_then(|error| error.code().map(|code| code.code().to_owned()));
    inner.rollback().await?;
    kept.commit().await?;
    let rows = c.query("select id, word from driver_rust.t where id >= 10 order by id", &[]).await?;
    let rows: Vec<Value> = rows.iter().map(|row| json!([row.get::<_, i32>(0), row.get::<_, String>(1)])).collect();
    Ok(json!([failed, rows]))
}

async fn error_then_continue(c: Client) -> Outcome {
    let mut found = Vec::new();
    for text in ["select 1/0", "selekt", "select * from driver_rust.gone", "select 1"] {
        found.push(match c.query(text, &[]).await {
            Ok(rows) => json!(rows.len()),
            Err(error) => json!([error.code().map(|code| code.code()), error.as_db_error().map(|error| error.message())]),
        });
    }
    Ok(json!(found))
}

async fn copy(c: Client) -> Outcome {
    let sink = c.copy_in("copy driver_rust.t (id, word) from stdin").await?;
    let mut sink = Box::pin(sink);
    for n in 1000..3000 {
        sink.send(std::io::Cursor::new(format!("{n}\tw\u{f6}rd {n}\n").into_bytes())).await?;
    }
    let taken = sink.as_mut().finish().await?;
    let stream = c.copy_out("copy (select * from driver_rust.t where id >= 1000 order by id) to stdout").await?;
    let bytes = stream.try_fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    Ok(json!([taken, digest(&bytes.await?), c.query_one("select 1", &[]).await?.get::<_, i32>(0)]))
}

/// A portal with row limits, read in parts.
async fn portal(mut c: Client) -> Outcome {
    let transaction = c.transaction().await?;
    let portal = transaction.bind("select n from generate_series(1, 250) n", &[]).await?;
    let mut sizes = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 100).await?;
        sizes.push(rows.len());
        if rows.len() < 100 {
            return Ok(json!(sizes));
        }
    }
}

async fn cancel(c: Client) -> Outcome {
    let token = c.cancel_token();
    let mut sleeping = Box::pin(c.batch_execute("select pg_sleep(60)"));
    // A request that arrives before the statement does nothing: ask until the statement has ended.
    let ended = loop {
        match tokio::time::timeout(Duration::from_millis(100), &mut sleeping).await {
            Ok(ended) => break ended,
            Err(_) => token.cancel_query(NoTls).await?,
        }
    };
    let code = ended.err().and_then(|error| error.code().map(|code| code.code().to_owned()));
    Ok(json!(code))
}

async fn notify(url: &str) -> Outcome {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
    let (heard, mut hearing) = futures_util::stream::poll_fn(move |context| connection.poll_message(context))
        .filter_map(|message| async move {
            match message {
                Ok(AsyncMessage::Notification(notice)) => Some([notice.channel().to_owned(), notice.payload().to_owned()]),
                _ => None,
            }
        })
        .split_into();
    let listening = async {
        client.batch_execute("listen driver_rust").await?;
        let other = connect(url).await?;
        other.batch_execute("notify driver_rust, 'first'; select pg_notify('driver_rust', 'second')").await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    tokio::spawn(heard);
    listening.await?;
    Ok(json!([hearing.recv().await, hearing.recv().await]))
}

/// A stream of notices, driven in a task of its own.
trait SplitInto: Sized {
    type Item;
    fn split_into(self) -> (impl Future<Output = ()> + Send + 'static, tokio::sync::mpsc::UnboundedReceiver<Self::Item>);
}

impl<S> SplitInto for S
where
    S: futures_util::Stream + Send + 'static,
    S::Item: Send,
{
    type Item = S::Item;

    fn split_into(self) -> (impl Future<Output = ()> + Send + 'static, tokio::sync::mpsc::UnboundedReceiver<S::Item>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let driven = self.for_each(move |item| {
            drop(sender.send(item));
            future::ready(())
        });
        (driven, receiver)
    }
}
