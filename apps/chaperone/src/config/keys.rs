//! Every key of both files, once: name, what it takes, what it means. Starter files and the reference come from here.

/// One key.
pub(crate) struct Key {
    /// The table that it stands in; empty for the top.
    table: &'static str,
    name: &'static str,
    /// A value as it may stand in the file.
    example: &'static str,
    /// Whether it has to be there, or what holds without it.
    default: Option<&'static str>,
    help: &'static str,
}

const fn required(table: &'static str, name: &'static str, example: &'static str, help: &'static str) -> Key {
    Key { table, name, example, default: None, help }
}

const fn optional(
    table: &'static str,
    name: &'static str,
    example: &'static str,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { table, name, example, default: Some(default), help }
}

const GATEWAY: &[Key] = &[
    required(
        "",
        "name",
        "\"gateway-1\"",
        "Name of this gateway. It is the origin of its log and stands in every checkpoint, so choose it once.",
    ),
    optional(
        "",
        "data",
        "\"data\"",
        "\"data\"",
        "Folder of the state: trail and key table. Paths are relative to this file.",
    ),
    optional(
        "",
        "keys",
        "\"keys\"",
        "\"keys\"",
        "Folder of the key files (mode 0600): log signing, commitments, credentials, the agent's tallies. Back it up apart from the state.",
    ),
    optional(
        "",
        "local_agent",
        "\"agent.toml\"",
        "none",
        "An agent inside this process: its configuration file. Targets' addresses and secrets stand there only. Leave it out where the agent is a process of its own (`chaperone agent`).",
    ),
    required("postgres", "listen", "\"127.0.0.1:6432\"", "Where PostgreSQL clients connect."),
    optional(
        "postgres",
        "plain_loopback",
        "true",
        "false",
        "Accept connections without TLS, on a loopback address only.",
    ),
    optional(
        "postgres",
        "certificate",
        "\"server.crt\"",
        "none",
        "The listener's certificate chain (PEM), ECDSA or RSA with SHA-256. Needs `key`.",
    ),
    optional("postgres", "key", "\"server.key\"", "none", "The certificate's private key (PEM)."),
    optional("postgres", "sessions_max", "4096", "4096", "Sessions at a time; one more is refused as busy."),
    optional("postgres", "statement_bytes_max", "1048576", "1048576", "Longest statement text, in bytes."),
    optional(
        "agents",
        "listen",
        "\"0.0.0.0:6443\"",
        "none",
        "Where agents dial in (mutual TLS). Leave the table out where only `local_agent` serves targets.",
    ),
    required(
        "api",
        "listen",
        "\"127.0.0.1:6480\"",
        "Management API, health and metrics. In clear on a loopback address; elsewhere it needs `certificate` and `key`.",
    ),
    optional(
        "api",
        "certificate",
        "\"api.crt\"",
        "none",
        "The API's certificate chain (PEM): it then speaks HTTPS only. Needs `key`.",
    ),
    optional("api", "key", "\"api.key\"", "none", "The certificate's private key (PEM)."),
    optional(
        "mcp",
        "resource",
        "\"https://gateway.example:6480/mcp\"",
        "http://127.0.0.1:PORT/mcp where the API listens on a loopback address, else required in the table",
        "Makes the gateway an MCP server at `/mcp/TARGET` on the API's listener: the address of all its targets' endpoints, as OAuth names the resource. Without the table there is no such server; who may call which tool is policy (`invoke`).",
    ),
    optional(
        "mcp",
        "hosts",
        "[\"gateway.example\"]",
        "the resource's host, and this machine's names where the API listens on a loopback address",
        "Further names by which it may be called (`Host`), each with or without a port.",
    ),
    optional(
        "mcp",
        "origins",
        "[\"https://app.example\"]",
        "[]",
        "Web pages that may call it (`Origin`), exactly. Programs that are no browser send none and need no entry.",
    ),
    optional(
        "mcp",
        "scopes",
        "[\"chaperone\"]",
        "[]",
        "Scopes that an access token needs for anything; without one it is told which (403 `insufficient_scope`).",
    ),
    optional(
        "mcp",
        "tool_scopes",
        "{ query = [\"chaperone.query\"] }",
        "none",
        "Further scopes that a token needs to call a tool, by the tool's name.",
    ),
    optional(
        "policy",
        "folder",
        "\"policy\"",
        "\"policy\"",
        "Folder of policies: Cedar files (`*.cedar`), `limits.toml`, and `tests.toml` with what they should come to.",
    ),
    required(
        "recording",
        "readers",
        "[]",
        "Public keys of those who may read recorded statements (`cprp1...`, from `chaperone reader create`).",
    ),
    optional(
        "trail",
        "heartbeat_s",
        "60",
        "60",
        "Seconds between heartbeat entries: a longer silence in the trail is a finding.",
    ),
    optional(
        "issuer",
        "alias",
        "\"dev\"",
        "\"dev\"",
        "Short name of the development issuer, whose credentials name their subject themselves: `dev/ana` in policies. Only a gateway that listens on a loopback address has one; another refuses to start with this table.",
    ),
    optional(
        "attributes",
        "clinics",
        "\"texts\"",
        "none",
        "What issuers may say of subjects, for policies: a name and `bool`, `long`, `text` or `texts`. An issuer's section maps claims to them.",
    ),
    optional(
        "issuers.org",
        "url",
        "\"https://id.example\"",
        "required in the table",
        "An issuer of people or workloads by the short name that policies use (`org/ana`): its identifier, exactly as in `iss`. Discovery begins there; `http` is for loopback addresses only.",
    ),
    optional(
        "issuers.org",
        "kind",
        "\"people\"",
        "\"people\"",
        "`people` log in with it; `workloads` present tokens of their platform.",
    ),
    optional(
        "issuers.org",
        "client_id",
        "\"chaperone-cli\"",
        "required for people",
        "The public client that `chaperone login` is there; ID tokens have to be for it or for one of `audiences`.",
    ),
    optional(
        "issuers.org",
        "scopes",
        "[\"openid\", \"profile\", \"groups\", \"offline_access\"]",
        "as in the example",
        "What `chaperone login` asks for.",
    ),
    optional(
        "issuers.org",
        "audiences",
        "[]",
        "[]",
        "Further `aud` of ID tokens and workloads' tokens; one has to fit.",
    ),
    optional(
        "issuers.org",
        "access_audiences",
        "[]",
        "[]",
        "`aud` of access tokens (RFC 9068) that may come beside an ID token and add groups and attributes; one has to fit.",
    ),
    optional(
        "issuers.org",
        "mcp_audiences",
        "[\"https://gateway.example:6480/mcp\"]",
        "[]",
        "`aud` of access tokens that MCP clients show at `/mcp`; one has to be exactly that. Without any, its tokens open nothing there.",
    ),
    optional(
        "issuers.org",
        "algorithms",
        "[\"RS256\", \"ES256\"]",
        "all of RS, PS and ES with 256 and 384, RS512, PS512, EdDSA",
        "How its tokens may be signed. `none` and HMAC never are.",
    ),
    optional(
        "issuers.org",
        "claims",
        "{ groups = \"groups\", display = \"name\", clinics = \"clinic_ids\" }",
        "{ groups = \"groups\", display = \"name\" }",
        "Which claims say what: `groups`, `display`, `client` (which client an access token was made for; else `client_id`, then `azp`. Okta writes `cid`, Entra ID's first version `appid`), and each declared attribute. A path is written with dots; a claim of another type than declared refuses the login.",
    ),
    optional("issuers.org", "acr", "[]", "[]", "Authentication contexts of which a login needs one."),
    optional("issuers.org", "amr", "[]", "[]", "Authentication methods that a login needs, all of them."),
    optional(
        "issuers.org",
        "authentication_s_max",
        "28800",
        "none",
        "Longest time since the authentication itself (`auth_time`), in seconds.",
    ),
    optional(
        "issuers.org",
        "recheck_s_max",
        "300",
        "300",
        "A login whose issuer was not heard for so many seconds admits nobody and its sessions end. People only: a workload holds as long as its token.",
    ),
    optional("issuers.org", "login_s_max", "43200", "43200", "Longest life of a login, in seconds."),
    optional(
        "issuers.org",
        "keys_kept_s_max",
        "86400",
        "86400",
        "How long the issuer's keys are used while it cannot be reached, in seconds.",
    ),
    optional(
        "issuers.org",
        "ca",
        "\"issuer-ca.pem\"",
        "the system's",
        "Certificates (PEM) to verify the issuer with.",
    ),
    optional(
        "issuers.org",
        "introspection",
        "{ client_id = \"chaperone\", secret = { file = \"/etc/chaperone/issuer.secret\" } }",
        "none",
        "The client that the gateway is there, to ask whether access tokens are still active (RFC 7662). An answer confirms a login if it tells again the groups and attributes that the login has; a login is confirmed by the tokens that its holder refreshes in any case.",
    ),
    optional(
        "issuers.org",
        "workloads",
        "[]",
        "[]",
        "For `workloads`: `{ subject = \"system:serviceaccount:clinic:*\", service = \"etl\", groups = [] }`, the first that fits; `*` stands for any characters but `:`.",
    ),
    optional(
        "clients.claude",
        "owner",
        "\"it@example.org\"",
        "none",
        "Registers software that acts for subjects (an AI client): who answers for it. Every registered client has one.",
    ),
    optional(
        "clients.claude",
        "recipient",
        "\"Model Provider Inc\"",
        "none",
        "Who sees the rows that it reads. Policies can ask for one; every record names it.",
    ),
    optional(
        "clients.claude",
        "agreement",
        "\"BAA-2026-04\"",
        "none",
        "The agreement under which that recipient may see them, by reference.",
    ),
    optional(
        "clients.claude",
        "oauth_clients",
        "[\"0oa1b2c3\"]",
        "[]",
        "OAuth client ids at issuers whose tokens are this client's: whoever logs in with one acts through it, and nobody else can say that he does.",
    ),
    optional(
        "exchange",
        "address",
        "\"https://gateway.example:6480/oauth\"",
        "http://127.0.0.1:PORT/oauth where the API listens on a loopback address, else required in the table",
        "Exchanges tokens (RFC 8693) at `/oauth/token` on the API's listener: the address by which servers of others reach it as an authorization server. Without the table no tokens are exchanged.",
    ),
    optional(
        "exchange.servers.radiology",
        "owner",
        "\"it@example.org\"",
        "required in the table",
        "Registers a server of others that shows its callers' access tokens and gets credentials for them: who answers for it. Its name is the client id in its assertions, and `Service::\"server/NAME\"` in policies, which have to permit what it does for anybody.",
    ),
    optional(
        "exchange.servers.radiology",
        "recipient",
        "\"Tool Inc\"",
        "none",
        "Who sees the rows that it reads, besides whoever sees what the client reads.",
    ),
    optional(
        "exchange.servers.radiology",
        "agreement",
        "\"BAA-2026-07\"",
        "none",
        "The agreement under which that recipient may see them, by reference.",
    ),
    optional(
        "exchange.servers.radiology",
        "resource",
        "\"https://radiology.example/mcp\"",
        "required in the table",
        "Its own resource: `aud` of the tokens that it may show, exactly.",
    ),
    optional(
        "exchange.servers.radiology",
        "issuers",
        "[\"org\"]",
        "required in the table",
        "Those of `[issuers]` whose tokens it may show.",
    ),
    optional(
        "exchange.servers.radiology",
        "oauth_clients",
        "[\"radiology-mcp\"]",
        "[]",
        "Its own OAuth client ids at those issuers: tokens of which it is the subject itself are refused, and `may_act` may name one.",
    ),
    optional(
        "exchange.servers.radiology",
        "jwks",
        "'{\"keys\": []}'",
        "required in the table",
        "Its public keys, as a JWK set (RFC 7517): with one of them it signs its assertions (`private_key_jwt`).",
    ),
    required(
        "targets.ehr",
        "protocol",
        "\"postgres\"",
        "A target by name: what it speaks, `postgres`, or `command` for one of declared commands. Its address and secret, or its programs, stand on the agent only.",
    ),
    optional(
        "targets.ehr",
        "catalog_refresh_s",
        "60",
        "60",
        "Seconds after which the target's catalog is read again.",
    ),
    optional(
        "targets.ehr",
        "classification",
        "\"classification/ehr.toml\"",
        "none",
        "What each column holds and which rows whom concern: [classification.md](classification.md). Without it the target is not classified: who may read a relation sees all of it.",
    ),
    optional(
        "targets.ehr.free_text",
        "leave",
        "[\"phi.date\"]",
        "[]",
        "Kinds of identifiers that stay in columns marked `scan`; every other one that is found is replaced by its tag ([detectors.md](detectors.md)).",
    ),
    optional(
        "targets.ehr.free_text",
        "record_numbers",
        "['MH-?\\d{6,8}']",
        "[]",
        "How medical record numbers are written there, so that they are found without a word beside them.",
    ),
    optional(
        "[targets.ehr.logins]",
        "login",
        "\"people\"",
        "none",
        "Which of the agent's logins the sessions of `groups` run as: needed in each such table. The first that fits counts, else it is the target's default login.",
    ),
    optional(
        "[targets.ehr.logins]",
        "groups",
        "[\"dev/nurses\"]",
        "everybody",
        "Whom this is for: one of these groups is enough (`issuer/group`, as in policies).",
    ),
    optional(
        "[targets.ehr.logins]",
        "role",
        "\"subject\"",
        "none",
        "`subject`: the login takes on a role of the subject's own, called `issuer/subject` as in policies.",
    ),
    optional(
        "servers.ehr-tools",
        "target",
        "\"ehr\"",
        "required in the table",
        "An MCP server of others at `/mcp/ehr-tools`, which an agent runs for each caller anew: the target that its connection string leads to, under that caller's identity. What is run stands on the agent only. A server that an agent reaches elsewhere has none.",
    ),
    optional(
        "servers.ehr-tools",
        "owner",
        "\"it@example.org\"",
        "required in the table",
        "Who answers for it.",
    ),
    optional(
        "servers.ehr-tools",
        "recipient",
        "\"Tool Provider Inc\"",
        "none",
        "Who sees the rows that it reads, besides whoever sees what its client reads: a model that it asks itself, say. Policies can ask for one; every record names it.",
    ),
    optional(
        "servers.ehr-tools",
        "agreement",
        "\"BAA-2026-05\"",
        "none",
        "The agreement under which that recipient may see them, by reference.",
    ),
    optional(
        "servers.ehr-tools",
        "idle_s",
        "300",
        "300",
        "Seconds that a run waits for its caller's next call before it is ended.",
    ),
    optional(
        "servers.ehr-tools",
        "processes_max",
        "32",
        "32",
        "Runs at a time. For one more the longest idle one is ended; where none is idle, the call is refused as busy.",
    ),
    optional(
        "servers.notes",
        "findings",
        "\"mask\"",
        "refuse",
        "For a server elsewhere, which has no `target` and whose connections are its own, so that nobody can say on whose behalf it reads. `refuse`: what detectors find goes neither to it, in arguments, nor to the caller, whatever policies reveal. `mask`: arguments go as they are, and answers are treated as those of every other server.",
    ),
    optional(
        "servers.notes.free_text",
        "leave",
        "[\"phi.date\"]",
        "[]",
        "Kinds of identifiers that are not looked for there.",
    ),
    optional(
        "servers.notes.free_text",
        "record_numbers",
        "['MH-?\\d{6,8}']",
        "[]",
        "How medical record numbers are written there. A server with a `target` has that target's `free_text`.",
    ),
];

const AGENT: &[Key] = &[
    required("", "name", "\"agent-1\"", "Name of this agent, as enrolled."),
    optional(
        "",
        "gateway",
        "\"gateway.example:6443\"",
        "none",
        "Where its gateway listens for agents. Needed for `chaperone agent`; an agent inside the gateway has none.",
    ),
    optional(
        "",
        "state",
        "\"agent-state\"",
        "\"agent-state\"",
        "Folder of its key and certificate (mode 0600), made when it is enrolled.",
    ),
    optional(
        "",
        "isolation",
        "\"required\"",
        "\"where-possible\"",
        "Whether hosted servers and declared commands run in [namespaces of their own](../how-to/isolation.md), by bubblewrap: `where-possible`, which says at the start and in the record where it is not; `required`, without which the agent does not start; `none`.",
    ),
    required("targets.ehr", "protocol", "\"postgres\"", "A target that this agent serves: what it speaks."),
    required(
        "targets.ehr",
        "host",
        "\"127.0.0.1\"",
        "Its host name or address, or the folder of its Unix socket (beginning with `/`).",
    ),
    optional("targets.ehr", "port", "5432", "5432", "Its port."),
    required("targets.ehr", "database", "\"clinic\"", "The database's own name."),
    required("targets.ehr", "user", "\"chaperone\"", "The login that sessions run as."),
    optional(
        "targets.ehr",
        "password",
        "{ env = \"EHR_PASSWORD\" }",
        "none",
        "Where its password comes from: `{ env = \"NAME\" }`, `{ file = \"path\" }` or `{ command = [\"program\", \"argument\"] }`. Fetched at each login.",
    ),
    optional(
        "targets.ehr",
        "tls",
        "\"disable\"",
        "\"verify-full\"",
        "`verify-full` or `disable`, as libpq's sslmode.",
    ),
    optional(
        "targets.ehr",
        "roots",
        "\"ca.pem\"",
        "none",
        "Certificates (PEM) to verify the target with; needed for `verify-full`.",
    ),
    optional(
        "targets.ehr",
        "certificate",
        "\"client.crt\"",
        "none",
        "Client certificate (PEM) to log in with. Needs `key`.",
    ),
    optional("targets.ehr", "key", "\"client.key\"", "none", "The client certificate's private key (PEM)."),
    optional(
        "targets.ehr.logins.people",
        "user",
        "\"chaperone_people\"",
        "none",
        "One more login of the target, which the gateway asks for by name: its user, needed in each such table.",
    ),
    optional(
        "targets.ehr.logins.people",
        "password",
        "{ env = \"EHR_PEOPLE_PASSWORD\" }",
        "none",
        "Where that login's password comes from, as for the default one.",
    ),
    optional(
        "targets.ehr.logins.people",
        "roles",
        "[\"dev/*\"]",
        "[]",
        "The roles that sessions of this login may take on; `*` stands for any characters. Such a login must have nothing of its own: the agent checks it.",
    ),
    optional(
        "targets.ehr.floor",
        "user",
        "\"chaperone_callers\"",
        "none",
        "The login that tells the target's floor whose session is whose, so that its views show each caller his own rows; needed in such a table.",
    ),
    optional(
        "targets.ehr.floor",
        "password",
        "{ env = \"EHR_CALLERS_PASSWORD\" }",
        "none",
        "Where that login's password comes from, as for the default one.",
    ),
    optional(
        "targets.ops",
        "kind",
        "\"command\"",
        "\"sql\"",
        "`command` makes it a target of declared commands: [how](../how-to/command-tool.md). It then has the keys of this table and of those below, and none of the above.",
    ),
    optional(
        "targets.ops",
        "user",
        "\"nobody\"",
        "the agent's own, where that is not root",
        "As whom its commands run: a name in `/etc/passwd`, or `uid:gid`. Only an agent that is root can run them as somebody else, and it has to say as whom.",
    ),
    optional("targets.ops", "folder", "\"/var/empty\"", "\"/\"", "The folder in which they run."),
    optional(
        "targets.ops",
        "environment",
        "{ LANG = \"C.UTF-8\" }",
        "{}",
        "All of their environment: nothing of the agent's own is passed on.",
    ),
    optional(
        "targets.ops",
        "isolation",
        "\"required\"",
        "the agent's",
        "Whether its commands run in namespaces of their own, where they see the files that their user may, but no other processes, and no network.",
    ),
    optional(
        "targets.ops",
        "network",
        "true",
        "false",
        "Whether its commands have the machine's network, behind their walls as well.",
    ),
    optional(
        "targets.ops.commands.report",
        "description",
        "\"Print the report of a day\"",
        "required in the table",
        "A command by name, and what it does, for people and models.",
    ),
    optional(
        "targets.ops.commands.report",
        "program",
        "\"/usr/local/bin/report\"",
        "required in the table",
        "The program: an absolute path to a file that not everybody may write to.",
    ),
    optional(
        "targets.ops.commands.report",
        "arguments",
        "[\"--since={since}\", \"--\", \"all\"]",
        "[]",
        "Its arguments, each by itself; no shell reads them. `{since}` is a parameter's place, `{{` a brace; an argument with a parameter that was left out is left out.",
    ),
    optional(
        "targets.ops.commands.report",
        "time_s_max",
        "60",
        "60",
        "How long it may run, in seconds: at most 540.",
    ),
    optional(
        "targets.ops.commands.report",
        "output_bytes_max",
        "1048576",
        "1048576",
        "How much it may print before it is ended, in bytes.",
    ),
    optional(
        "targets.ops.commands.report",
        "memory_bytes_max",
        "1073741824",
        "1073741824",
        "Address space of each of its processes, in bytes: at least 16777216.",
    ),
    optional(
        "targets.ops.commands.report",
        "reads_only",
        "true",
        "false",
        "Tells clients that it changes nothing. Nothing else rests on it.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "type",
        "\"date\"",
        "required in the table",
        "A parameter by name, and what a value may be: `integer`, `choice`, `text`, `date`, `uuid` or `boolean`.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "description",
        "\"First day\"",
        "none",
        "What it is for.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "required",
        "false",
        "true",
        "Whether it has to be given.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "default",
        "\"2026-01-01\"",
        "none",
        "What stands for it where it is left out; only of one that is not required.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "minimum",
        "1",
        "required for integer",
        "Least integer.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "maximum",
        "9",
        "required for integer",
        "Greatest integer.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "values",
        "[\"day\", \"week\"]",
        "required for choice",
        "The choices.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "pattern",
        "'[a-z]+'",
        "required for text",
        "What text has to match, from its beginning to its end. Control characters, and a dash at the beginning, are refused whatever it says.",
    ),
    optional(
        "targets.ops.commands.report.parameters.since",
        "bytes_max",
        "100",
        "required for text",
        "Longest text, in bytes: at most 1024.",
    ),
    optional(
        "servers.ehr-tools",
        "command",
        "[\"/usr/bin/node\", \"/opt/mcp/server-postgres/dist/index.js\", \"{url}\"]",
        "required in the table",
        "An MCP server that this agent runs: the program by its whole path, and its arguments; no shell. `{url}`, `{host}`, `{port}`, `{user}`, `{password}`, `{database}` and `{folder}` are replaced here, in `environment` and in `files`. Programs that fetch what they run (`npx`, `uvx`) are refused, and files of the line that everybody may write to.",
    ),
    optional(
        "servers.ehr-tools",
        "environment",
        "{ DATABASE_URL = \"{url}\" }",
        "{}",
        "Variables of its runs. Beside them there are `PATH`, `LANG`, and `HOME` and `TMPDIR`, which are the run's own folder: nothing of the agent's environment.",
    ),
    optional(
        "servers.ehr-tools",
        "files",
        "{ \"server.toml\" = \"dsn = '{url}'\" }",
        "{}",
        "Files by name and content, written into the run's own folder (`{folder}`, mode 0600) before it begins, and removed after it.",
    ),
    optional(
        "servers.ehr-tools",
        "directory",
        "\"/opt/mcp\"",
        "the run's own folder",
        "Where its runs begin. Behind walls they cannot change it.",
    ),
    optional(
        "servers.ehr-tools",
        "tree",
        "\"/opt/mcp/server-postgres\"",
        "none",
        "A folder whose every file counts for the digest of what is run, beside the program and the files that `command` names. It is read when the agent starts.",
    ),
    optional(
        "servers.ehr-tools",
        "uid",
        "2001",
        "the agent's",
        "The user, by number, as whom its runs go. Only an agent that is root can run them as somebody else, and it has to say as whom, with `gid`.",
    ),
    optional("servers.ehr-tools", "gid", "2001", "the agent's", "The group, likewise."),
    optional(
        "servers.ehr-tools",
        "uids",
        "32",
        "1",
        "How many users there are for it, from `uid` on: each run has one of its own while it lasts. Fewer than `processes_max` are refused, since runs of different callers would share one.",
    ),
    optional(
        "servers.ehr-tools",
        "same_user",
        "false",
        "false",
        "Take its runs being of the agent's own user, or sharing one, which is refused otherwise. For demonstrations.",
    ),
    optional(
        "servers.ehr-tools",
        "isolation",
        "\"required\"",
        "the agent's",
        "Whether its runs are in namespaces of their own, where the agent's listener is the only place that they can reach.",
    ),
    optional(
        "servers.ehr-tools",
        "read",
        "[\"/opt/mcp/settings\"]",
        "[]",
        "What its runs see of the machine, and cannot change, beside the system's programs (`/usr` and the like), `tree`, `directory`, and the files that `command` names with what those were installed with (`node_modules`, a Python environment).",
    ),
    optional("servers.ehr-tools", "processes_max", "32", "32", "Runs at a time."),
    optional(
        "servers.notes",
        "url",
        "\"https://notes.example/mcp\"",
        "required in the table",
        "An MCP server elsewhere: the address of its endpoint (Streamable HTTP), in the place of `command`. http is for loopback addresses only; redirects and proxies are not used.",
    ),
    optional(
        "servers.notes",
        "ca",
        "\"notes-ca.crt\"",
        "this machine's",
        "Certificate authorities (PEM) that vouch for it, and no others.",
    ),
    optional(
        "servers.notes",
        "token",
        "{ file = \"/etc/chaperone/notes.token\" }",
        "none",
        "What the agent shows there as its bearer token, from `env`, `file` or `command` as a target's `password`. Nothing that a client showed goes there.",
    ),
    optional("servers.notes", "sessions_max", "32", "32", "Sessions with it at a time."),
];

/// Keys whose line in the starter file is not a comment although they have a default.
const STARTED: &[&str] = &["plain_loopback", "local_agent", "password", "tls", "port"];

fn starter(head: &str, keys: &[Key]) -> String {
    let mut out = format!("{head}\n");
    let mut table = "";
    for key in keys {
        // A table that may be left out stands there as a comment, with everything in it.
        let all_optional =
            keys.iter().filter(|other| other.table == key.table).all(|other| other.default.is_some());
        if key.table != table {
            table = key.table;
            out.push_str(&format!("\n{}[{table}]\n", if all_optional { "#: " } else { "" }));
        }
        let started = key.default.is_none() || (STARTED.contains(&key.name) && !all_optional);
        let comment = if started { "" } else { "#: " };
        out.push_str(&format!("# {}\n{comment}{} = {}\n", key.help, key.name, key.example));
    }
    out
}

/// `gateway.toml` as `init` writes it.
pub(crate) fn gateway_starter() -> String {
    starter("# The gateway. Lines that begin with `#:` show what may be set.", GATEWAY)
}

/// `agent.toml` as `init` writes it.
pub(crate) fn agent_starter() -> String {
    starter(
        "# An agent: where targets are, and where their secrets come from. Lines that begin with `#:` show what may be set.",
        AGENT,
    )
}

/// A starter file with everything switched on, to check that every listed key exists.
#[cfg(test)]
pub(crate) fn uncommented(text: &str) -> String {
    text.replace("#: ", "")
}

/// `docs/reference/configuration.md`.
#[cfg(test)]
pub(crate) fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\nGenerated from the code. Unknown keys are errors; `chaperone config check` names file, line and column.\n\n\
         On SIGHUP a gateway reads `[issuers]`, `[clients]`, `[exchange.servers]`, and `owner`, `recipient` and `agreement` of `[servers]` again, with the policy folder and the \
         classifications. \
         Every other table that has changed, `[targets]` and `[attributes]` among them, waits for the next start: the log names each \
         such key as a warning, at every SIGHUP until then.\n",
    );
    for (file, keys) in [("gateway.toml", GATEWAY), ("agent.toml", AGENT)] {
        out.push_str(&format!(
            "\n## {file}\n\n| table | key | example | default | meaning |\n|---|---|---|---|---|\n"
        ));
        for key in keys {
            let table = if key.table.is_empty() { String::new() } else { format!("`[{}]`", key.table) };
            let default = key.default.map_or_else(|| "required".to_owned(), |default| format!("`{default}`"));
            out.push_str(&format!(
                "| {table} | `{}` | `{}` | {default} | {} |\n",
                key.name, key.example, key.help
            ));
        }
    }
    out
}
