// A notification service as it is usually written with BullMQ: the peer of `benchmarks.end_to_end`
// from another ecosystem. A job per recipient, the channel's usual sender, connections kept open; a
// row per recipient. `node bullmq.js worker` delivers; `node bullmq.js accept` takes lines of JSON
// on standard input, `{"rows": […]}`, and answers each with a line once its rows are stored and
// their jobs are queued.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http2 = require("node:http2");
const readline = require("node:readline");
const { Queue, Worker } = require("bullmq");
const nodemailer = require("nodemailer");
const { Pool } = require("pg");

const QUEUE = "deliveries";
const CONCURRENCY = 100; // BullMQ's default is 1; for work that waits its manual says 100 to 300
const JOB = { removeOnComplete: true, removeOnFail: true };

const settings = JSON.parse(process.env.PEER_SETTINGS);
const providers = settings.providers;
const connection = { host: "127.0.0.1", port: settings.redis, maxRetriesPerRequest: null };
const pool = new Pool({ connectionString: settings.database, max: 20 });

async function accept(queue, rows) {
  const columns = ["channel", "address", "title", "text", "variables"];
  const values = columns.map((name) => rows.map((row) => row[name]));
  const stored = await pool.query(
    `INSERT INTO notification (${columns})
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[]) RETURNING id`,
    values,
  );
  const jobs = stored.rows.map(({ id }) => ({ name: "deliver", data: { id }, opts: JOB }));
  await queue.addBulk(jobs);
}

async function deliver(job) {
  const found = await pool.query("SELECT * FROM notification WHERE id = $1", [job.data.id]);
  const row = found.rows[0];
  const title = fill(row.title, row.variables);
  const text = fill(row.text, row.variables);
  let status = "SENT";
  let providerId = null;
  let error = null;
  try {
    providerId = await SEND[row.channel](row.address, title, text);
  } catch (raised) {
    status = "FAILED";
    error = String(raised);
  }
  await pool.query(
    "UPDATE notification SET status = $2, provider_id = $3, error = $4, updated_at = now() WHERE id = $1",
    [row.id, status, providerId, error],
  );
}

function fill(text, variables) {
  return text.replace(/\{(\w+)\}/g, (_, name) => variables[name]);
}

// A function's result, kept: the first to ask makes it, and all wait for that.
function once(make) {
  let made;
  return () => (made ??= make());
}

function jwt(header, claims, key) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part(header)}.${part(claims)}`;
  const signature = crypto.sign("sha256", signed, { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

async function post(url, headers, body) {
  const answer = await fetch(url, { method: "POST", headers, body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
  return text;
}

const googleToken = once(async () => {
  const account = providers.GCM.service_account;
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: account.client_email,
    scope: "https://www.googleapis.com/auth/firebase.messaging",
    aud: account.token_uri,
    iat: now,
    exp: now + 3600,
  };
  const assertion = jwt({ alg: "RS256", typ: "JWT" }, claims, account.private_key);
  const body = new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
    assertion,
  });
  return JSON.parse(await post(account.token_uri, {}, body.toString())).access_token;
});

async function sendGcm(address, title, text) {
  const { base_url: base, service_account: account } = providers.GCM;
  const message = {
    token: address,
    data: { title, body: text },
    android: { priority: "high", ttl: "3600s" },
  };
  const headers = {
    Authorization: `Bearer ${await googleToken()}`,
    "Content-Type": "application/json",
  };
  const url = `${base}/v1/projects/${account.project_id}/messages:send`;
  return JSON.parse(await post(url, headers, JSON.stringify({ message }))).name;
}

const apple = once(() => {
  const { host, port, ca_file: file, token_key: key, token_key_id: kid, team_id: iss } = providers.APNS;
  const iat = Math.floor(Date.now() / 1000);
  return {
    session: http2.connect(`https://${host}:${port}`, { ca: fs.readFileSync(file) }),
    token: jwt({ alg: "ES256", kid }, { iss, iat }, key),
  };
});

function sendApns(address, title, text) {
  const { session, token } = apple();
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": `/3/device/${address}`,
      authorization: `bearer ${token}`,
      "apns-id": crypto.randomUUID(),
      "apns-topic": providers.APNS.bundle_id,
      "apns-push-type": "alert",
      "apns-expiration": Math.floor(Date.now() / 1000) + 3600,
    });
    let headers = {};
    let body = "";
    stream.on("response", (got) => (headers = got));
    stream.on("data", (chunk) => (body += chunk));
    stream.on("error", reject);
    stream.on("end", () =>
      headers[":status"] === 200
        ? resolve(headers["apns-id"])
        : reject(new Error(`${headers[":status"]} ${body}`)),
    );
    stream.end(JSON.stringify({ aps: { alert: { title, body: text } } }));
  });
}

const relay = once(() =>
  nodemailer.createTransport({
    host: providers.EMAIL.host,
    port: providers.EMAIL.port,
    ignoreTLS: true,
    pool: true,
    maxConnections: providers.EMAIL.connections,
    maxMessages: Infinity,
  }),
);

async function sendEmail(address, title, text) {
  const sent = await relay().sendMail({
    from: providers.EMAIL.from_address,
    to: address,
    subject: title,
    text: `${text}\n`,
    html: `<p>${text}</p>\n`,
  });
  return sent.messageId;
}

async function sendSms(address, title, text) {
  const { base_url: base, account_sid: sid, auth_token: secret, origination_number: from } = providers.SMS;
  const headers = {
    Authorization: `Basic ${Buffer.from(`${sid}:${secret}`).toString("base64")}`,
    "Content-Type": "application/x-www-form-urlencoded",
  };
  const body = new URLSearchParams({ To: address, From: from, Body: text });
  const url = `${base}/2010-04-01/Accounts/${sid}/Messages.json`;
  return JSON.parse(await post(url, headers, body.toString())).sid;
}

async function sendWebhook(address, title, text) {
  const id = crypto.randomUUID();
  const now = Math.floor(Date.now() / 1000);
  const body = JSON.stringify({ address, title, body: text });
  const key = Buffer.from(providers.CUSTOM.secret.replace(/^whsec_/, ""), "base64");
  const signature = crypto.createHmac("sha256", key).update(`${id}.${now}.${body}`).digest("base64");
  const headers = {
    "Content-Type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(now),
    "webhook-signature": `v1,${signature}`,
  };
  await post(providers.CUSTOM.url, headers, body);
  return id;
}

const SEND = { GCM: sendGcm, APNS: sendApns, EMAIL: sendEmail, SMS: sendSms, CUSTOM: sendWebhook };

async function acceptLines() {
  const queue = new Queue(QUEUE, { connection });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await accept(queue, JSON.parse(line).rows);
    process.stdout.write("{}\n");
  }
  await queue.close();
  await pool.end();
}

function work() {
  const worker = new Worker(QUEUE, deliver, { connection, concurrency: CONCURRENCY });
  worker.on("error", (error) => console.error(error));
  process.on("SIGTERM", async () => {
    await worker.close();
    process.exit(0);
  });
}

if (process.argv[2] === "accept") acceptLines();
else work();
