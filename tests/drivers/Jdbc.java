// PostgreSQL's JDBC driver (Debian's): server-prepared after five uses, batches, fetch size, CopyManager, metadata. See README.md.
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.*;
import java.util.*;
import java.util.concurrent.atomic.AtomicBoolean;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.core.BaseConnection;
import org.postgresql.core.TypeInfo;

public class Jdbc {
    static final int BIG = 10 * 1024 * 1024;
    static final StringBuilder out = new StringBuilder("{");
    static String url;
    static Properties login = new Properties();

    interface Case { Object run(Connection c) throws Exception; }

    public static void main(String[] arguments) throws Exception {
        URI uri = new URI(arguments[0]);
        String[] user = uri.getRawUserInfo().split(":", 2);
        String query = uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery();
        url = "jdbc:postgresql://" + uri.getHost() + ":" + uri.getPort() + uri.getPath() + query;
        login.setProperty("user", URLDecoder.decode(user[0], StandardCharsets.UTF_8));
        login.setProperty("password", URLDecoder.decode(user[1], StandardCharsets.UTF_8));

        if (arguments.length > 2) {
            int[] numbers = Arrays.stream(arguments[1].split(",")).mapToInt(Integer::parseInt).toArray();
            List<String> statements = List.of(arguments).subList(2, arguments.length);
            Map<String, Object> found = new TreeMap<>();
            found.put("simple", seen(numbers, statements, Map.of("preferQueryMode", "simple")));
            found.put("text", seen(numbers, statements, Map.of("prepareThreshold", "1", "binaryTransfer", "false")));
            // Prepared at the server and binary from the first use on, not from the fifth.
            found.put("binary", seen(numbers, statements, Map.of("prepareThreshold", "-1")));
            System.out.println(json(found));
            return;
        }
        try (Connection c = connect()) {
            execute(c, "drop schema if exists driver_jdbc cascade");
            execute(c, "create schema driver_jdbc");
            execute(c, "create table driver_jdbc.t (id integer primary key, word text not null default '', amount numeric(10,2), data bytea)");
            execute(c, "create table driver_jdbc.child (id serial primary key, t_id integer references driver_jdbc.t)");
        }
        run("simple", c -> rows(c.createStatement().executeQuery("select 1 as one, 'two' as two, 3.5::numeric as three, date '2026-01-31' as four")));
        run("several_results", Jdbc::severalResults);
        run("prepared_reused", Jdbc::preparedReused);
        run("nulls", Jdbc::nulls);
        run("unicode", Jdbc::unicode);
        run("arrays", Jdbc::arrays);
        run("big_values", Jdbc::bigValues);
        run("rollback", Jdbc::rollback);
        run("error_then_continue", Jdbc::errorThenContinue);
        run("batch", Jdbc::batch);
        run("generated_keys", Jdbc::generatedKeys);
        run("copy", Jdbc::copy);
        run("notify", Jdbc::notifyCase);
        run("cancel", Jdbc::cancel);
        run("fetch_size", Jdbc::fetchSize);
        run("scroll", Jdbc::scroll);
        run("metadata", Jdbc::metadata);
        try (Connection c = connect()) { execute(c, "drop schema driver_jdbc cascade"); }
        System.out.println(out.append("\n}"));
    }

    static Connection connect() throws SQLException { return DriverManager.getConnection(url, login); }

    static void execute(Connection c, String text) throws SQLException { try (Statement s = c.createStatement()) { s.execute(text); } }

    static void run(String name, Case body) throws Exception {
        Object found;
        try (Connection c = connect()) {
            found = body.run(c);
        } catch (SQLException error) {
            found = Map.of("error", String.valueOf(error.getSQLState()), "message", String.valueOf(error.getMessage()));
        }
        out.append(out.length() > 1 ? ",\n " : "\n ").append(json(name)).append(": ").append(json(found));
    }

    /** What each statement shows for each number, prepared, with the types of the columns. */
    static Object seen(int[] numbers, List<String> statements, Map<String, String> settings) throws SQLException {
        Properties all = new Properties();
        all.putAll(login);
        all.putAll(settings);
        List<Object> found = new ArrayList<>();
        try (Connection c = DriverManager.getConnection(url, all)) {
            TypeInfo known = c.unwrap(BaseConnection.class).getTypeInfo();
            for (String text : statements) {
                try (PreparedStatement s = c.prepareStatement(text.replace("$1", "?"))) {
                    for (int number : numbers) {
                        s.setInt(1, number);
                        ResultSet r = s.executeQuery();
                        int width = r.getMetaData().getColumnCount();
                        List<Object> types = new ArrayList<>(), rows = new ArrayList<>();
                        for (int n = 1; n <= width; n++) types.add(known.getPGType(r.getMetaData().getColumnTypeName(n)));
                        while (r.next()) {
                            List<Object> row = new ArrayList<>();
                            for (int n = 1; n <= width; n++) row.add(r.getObject(n));
                            rows.add(row);
                        }
                        found.add(Map.of("types", types, "rows", rows));
                    }
                }
            }
        }
        return found;
    }

    static Object severalResults(Connection c) throws SQLException {
        List<Object> found = new ArrayList<>();
        try (Statement s = c.createStatement()) {
            boolean isRows = s.execute("select 1; insert into driver_jdbc.t (id) values (900), (901); select 2");
            while (isRows || s.getUpdateCount() != -1) {
                found.add(isRows ? rows(s.getResultSet()) : (Object) s.getUpdateCount());
                isRows = s.getMoreResults();
            }
        }
        return found;
    }

    static Object preparedReused(Connection c) throws SQLException {
        List<Object> found = new ArrayList<>();
        try (PreparedStatement s = c.prepareStatement("select ? * 2, ?::text, ?::float8, ?::timestamptz at time zone 'UTC'")) {
            for (int n = 0; n < 100; n++) {
                s.setInt(1, n);
                s.setString(2, "v" + n);
                s.setDouble(3, n / 8.0);
                s.setString(4, "2026-01-01 00:00:00+00");
                found.add(rows(s.executeQuery()));
            }
        }
        return found;
    }

    static Object nulls(Connection c) throws SQLException {
        try (PreparedStatement s = c.prepareStatement("select null::text, ?::integer, ?::text, '' as empty")) {
            s.setNull(1, Types.INTEGER);
            s.setNull(2, Types.VARCHAR);
            return rows(s.executeQuery());
        }
    }

    static Object unicode(Connection c) throws SQLException {
        String text = "Zoë 李 Ωμέγα 🩺 \u0301 O'Brien \\ %";
        try (PreparedStatement s = c.prepareStatement("select ?::text, length(?)")) {
            s.setString(1, text);
            s.setString(2, text);
            ResultSet r = s.executeQuery();
            r.next();
            return List.of(text.equals(r.getString(1)), r.getInt(2), r.getString(1));
        }
    }

    static Object arrays(Connection c) throws SQLException {
        try (PreparedStatement s = c.prepareStatement("select ?::integer[], ?::text[], array[[1,2],[3,4]]")) {
            s.setArray(1, c.createArrayOf("integer", new Integer[] {1, null, 3}));
            s.setArray(2, c.createArrayOf("text", new String[] {"a", null, "", "b,\"c"}));
            ResultSet r = s.executeQuery();
            r.next();
            return List.of(Arrays.deepToString((Object[]) r.getArray(1).getArray()), Arrays.deepToString((Object[]) r.getArray(2).getArray()),
                    Arrays.deepToString((Object[]) r.getArray(3).getArray()));
        }
    }

    static Object bigValues(Connection c) throws Exception {
        byte[] data = new byte[BIG];
        for (int n = 0; n < BIG; n++) data[n] = (byte) n;
        String text = "x".repeat(BIG);
        try (PreparedStatement s = c.prepareStatement("select ?::text, ?::bytea")) {
            s.setString(1, text);
            s.setBytes(2, data);
            ResultSet r = s.executeQuery();
            r.next();
            return List.of(text.equals(r.getString(1)), Arrays.equals(data, r.getBytes(2)), sha256(r.getBytes(2)));
        }
    }

    static Object rollback(Connection c) throws SQLException {
        c.setAutoCommit(false);
        execute(c, "insert into driver_jdbc.t (id) values (1)");
        c.rollback();
        execute(c, "insert into driver_jdbc.t (id, word) values (2, 'kept')");
        Savepoint savepoint = c.setSavepoint();
        List<Object> found = new ArrayList<>();
        try {
            execute(c, "insert into driver_jdbc.t (id) values (2)");
        } catch (SQLException error) {
            found.add(List.of(error.getSQLState(), error.getMessage()));
        }
        c.rollback(savepoint);
        c.commit();
        found.add(rows(c.createStatement().executeQuery("select id, word from driver_jdbc.t where id < 10")));
        c.commit();
        return found;
    }

    static Object errorThenContinue(Connection c) throws SQLException {
        List<Object> found = new ArrayList<>();
        for (String text : List.of("select 1/0", "selekt", "select * from driver_jdbc.gone", "select 'after'")) {
            try (Statement s = c.createStatement()) {
                found.add(rows(s.executeQuery(text)));
            } catch (SQLException error) {
                found.add(List.of(error.getSQLState(), error.getMessage()));
            }
        }
        return found;
    }

    static Object batch(Connection c) throws SQLException {
        c.setAutoCommit(false);
        List<Object> found = new ArrayList<>();
        try (PreparedStatement s = c.prepareStatement("insert into driver_jdbc.t (id, amount) values (?, ?)")) {
            for (int n = 1000; n < 2000; n++) {
                s.setInt(1, n);
                s.setBigDecimal(2, java.math.BigDecimal.valueOf(n, 2));
                s.addBatch();
            }
            found.add(Arrays.stream(s.executeBatch()).sum());
            c.commit();
            for (int n : new int[] {3000, 3001, 3000}) {
                s.setInt(1, n);
                s.setBigDecimal(2, null);
                s.addBatch();
            }
            s.executeBatch();
        } catch (BatchUpdateException error) {
            found.add(error.getSQLState());
        }
        c.rollback();
        found.add(rows(c.createStatement().executeQuery("select count(*), sum(amount) from driver_jdbc.t where id >= 1000")));
        return found;
    }

    static Object generatedKeys(Connection c) throws SQLException {
        execute(c, "insert into driver_jdbc.t (id) values (50)");
        try (PreparedStatement s = c.prepareStatement("insert into driver_jdbc.child (t_id) values (?)", Statement.RETURN_GENERATED_KEYS)) {
            s.setInt(1, 50);
            s.executeUpdate();
            return rows(s.getGeneratedKeys());
        }
    }

    static Object copy(Connection c) throws Exception {
        var manager = c.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder text = new StringBuilder();
        for (int n = 10000; n < 12000; n++) text.append(n).append(",wörd ").append(n).append('\n');
        long taken = manager.copyIn("copy driver_jdbc.t (id, word) from stdin (format csv)", new ByteArrayInputStream(text.toString().getBytes(StandardCharsets.UTF_8)));
        ByteArrayOutputStream read = new ByteArrayOutputStream();
        long given = manager.copyOut("copy (select id, word from driver_jdbc.t where id >= 10000 order by id) to stdout (format csv)", read);
        String failed = "none";
        try {
            manager.copyIn("copy driver_jdbc.t (id) from stdin", new ByteArrayInputStream("no number\n".getBytes(StandardCharsets.UTF_8)));
        } catch (SQLException error) {
            failed = error.getSQLState();
        }
        return List.of(taken, given, sha256(read.toByteArray()), failed, rows(c.createStatement().executeQuery("select 'after'")));
    }

    static Object notifyCase(Connection c) throws Exception {
        execute(c, "listen driver_jdbc");
        try (Connection other = connect()) {
            execute(other, "notify driver_jdbc, 'first'");
            execute(other, "select pg_notify('driver_jdbc', 'second')");
        }
        List<Object> found = new ArrayList<>();
        while (found.size() < 2) {
            PGNotification[] notices = c.unwrap(PGConnection.class).getNotifications(30_000);
            if (notices == null || notices.length == 0) break;
            for (PGNotification notice : notices) found.add(List.of(notice.getName(), notice.getParameter()));
        }
        return found;
    }

    static Object cancel(Connection c) throws Exception {
        List<Object> found = new ArrayList<>();
        AtomicBoolean ended = new AtomicBoolean();
        try (Statement s = c.createStatement()) {
            // A request that arrives before the statement does nothing: ask until the statement has ended.
            Thread insist = new Thread(() -> {
                while (!ended.get()) {
                    try { Thread.sleep(100); s.cancel(); } catch (Exception error) { return; }
                }
            });
            insist.start();
            try {
                s.execute("select pg_sleep(60)");
                found.add("not cancelled");
            } catch (SQLException error) {
                found.add(error.getSQLState());
            }
            ended.set(true);
            insist.join();
        }
        for (int n = 0; n < 50; n++) {
            // A last request may still hit the next statement.
            try { found.add(rows(c.createStatement().executeQuery("select 'after'"))); break; } catch (SQLException error) { if (!"57014".equals(error.getSQLState())) throw error; }
        }
        return found;
    }

    static Object fetchSize(Connection c) throws SQLException {
        c.setAutoCommit(false);
        try (PreparedStatement s = c.prepareStatement("select n, repeat('x', n % 50) from generate_series(1, ?) n")) {
            s.setFetchSize(100);
            s.setInt(1, 1050);
            ResultSet r = s.executeQuery();
            long walked = 0;
            while (r.next()) walked += r.getInt(1) + r.getString(2).length();
            s.setMaxRows(7);
            return List.of(walked, rows(s.executeQuery()));
        }
    }

    static Object scroll(Connection c) throws SQLException {
        try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
            ResultSet r = s.executeQuery("select id, word from driver_jdbc.t where id = 2");
            r.first();
            r.updateString("word", "changed");
            r.updateRow();
        }
        return rows(c.createStatement().executeQuery("select word from driver_jdbc.t where id = 2"));
    }

    static Object metadata(Connection c) throws SQLException {
        DatabaseMetaData m = c.getMetaData();
        Map<String, Object> found = new TreeMap<>();
        found.put("product", m.getDatabaseProductName() + " " + m.getDatabaseProductVersion());
        found.put("schemas", rows(m.getSchemas()));
        found.put("tables", rows(m.getTables(null, "driver_jdbc", "%", null)));
        found.put("columns", rows(m.getColumns(null, "driver_jdbc", "%", "%")));
        found.put("keys", rows(m.getPrimaryKeys(null, "driver_jdbc", "t")));
        found.put("references", rows(m.getImportedKeys(null, "driver_jdbc", "child")));
        found.put("indexes", rows(m.getIndexInfo(null, "driver_jdbc", "t", false, false)));
        found.put("functions", rows(m.getFunctions(null, "pg_catalog", "btrim")));
        found.put("types", rows(m.getTypeInfo()).size());
        found.put("keywords", m.getSQLKeywords().length());
        ResultSetMetaData d = c.prepareStatement("select id, word, amount from driver_jdbc.t where id = ?").getMetaData();
        List<Object> described = new ArrayList<>();
        for (int n = 1; n <= d.getColumnCount(); n++)
            described.add(List.of(d.getColumnName(n), d.getColumnTypeName(n), d.getTableName(n), d.isNullable(n), d.isAutoIncrement(n), d.getPrecision(n), d.getScale(n)));
        found.put("described", described);
        return found;
    }

    static List<Object> rows(ResultSet r) throws SQLException {
        List<Object> rows = new ArrayList<>();
        int width = r.getMetaData().getColumnCount();
        while (r.next()) {
            List<Object> row = new ArrayList<>();
            for (int n = 1; n <= width; n++) row.add(r.getString(n));
            rows.add(row);
        }
        return rows;
    }

    static String sha256(byte[] data) throws Exception { return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data)); }

    static String json(Object value) {
        if (value == null) return "null";
        if (value instanceof Number || value instanceof Boolean) return value.toString();
        StringJoiner joined;
        if (value instanceof List<?> list) {
            joined = new StringJoiner(", ", "[", "]");
            for (Object item : list) joined.add(json(item));
            return joined.toString();
        }
        if (value instanceof Map<?, ?> map) {
            joined = new StringJoiner(", ", "{", "}");
            for (var entry : new TreeMap<>(map).entrySet()) joined.add(json(entry.getKey()) + ": " + json(entry.getValue()));
            return joined.toString();
        }
        StringBuilder text = new StringBuilder("\"");
        for (char character : value.toString().toCharArray()) {
            if (character == '"' || character == '\\') text.append('\\').append(character);
            else if (character < 32) text.append(String.format("\\u%04x", (int) character));
            else text.append(character);
        }
        return text.append('"').toString();
    }
}
