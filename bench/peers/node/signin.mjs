// The same sign-in as a user of Express writes it: jsonwebtoken, better-sqlite3 and a session in a signed cookie.
//
// Same database settings (WAL, synchronous=FULL), same tables with the same indexes, same rows as the peer with Flask's ORM
// (bench/peers/orm_signin.py), in one transaction. PEER_DATABASE, which has the tables, PEER_TOKEN_KEY, PEER_PORT.
import { createHash, randomBytes } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(process.env.PEER_MODULES);
const express = require("express");
const cookieSession = require("cookie-session");
const jwt = require("jsonwebtoken");
const Database = require("better-sqlite3");

const LIFETIME = 43200; // seconds
const SKEW = 30;
const secret = process.env.PEER_TOKEN_KEY;
const db = new Database(process.env.PEER_DATABASE);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");

const sha256 = (text) => createHash("sha256").update(text).digest();
const spend = db.prepare("INSERT INTO spent_token (key, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING");
const known = db.prepare("SELECT account_id FROM identity WHERE provider = 'bench' AND subject = ? AND claim = ''");
const newAccount = db.prepare(`INSERT INTO account (email, email_key, "groups", attributes, is_active, is_admin, created_at)
  VALUES (?, ?, '[]', '{}', 1, 0, ?)`);
const newIdentity = db.prepare(`INSERT INTO identity (provider, subject, claim, account_id, issued_at, created_at)
  VALUES ('bench', ?, '', ?, ?, ?)`);
const touchAccount = db.prepare("UPDATE account SET given_name = ?, family_name = ?, last_sign_in_at = ? WHERE id = ?");
const touchIdentity = db.prepare("UPDATE identity SET issued_at = ? WHERE provider = 'bench' AND subject = ? AND claim = ''");
const open = db.prepare(`INSERT INTO session (id_hash, public_id, kind, account_id, provider, subject, claims, created_at,
  expires_at, address, user_agent, return_path) VALUES (?, ?, 'browser', ?, 'bench', ?, ?, ?, ?, ?, ?, '/')`);
const note = db.prepare(`INSERT INTO activity (reference, at, event, provider, subject, email, account_id, address,
  user_agent) VALUES (?, ?, 'sign_in', 'bench', ?, ?, ?, ?, ?)`);

const signIn = db.transaction((claims, address, userAgent) => {
  if (spend.run(sha256(claims.jti).subarray(0, 16), claims.exp + SKEW).changes === 0) return null;
  const now = Math.floor(Date.now() / 1000);
  const today = new Date().toISOString().replace("T", " ").replace("Z", "");
  let account = known.get(claims.email)?.account_id;
  if (account === undefined) {
    account = newAccount.run(claims.email, claims.email.toLowerCase(), today).lastInsertRowid;
    newIdentity.run(claims.email, account, claims.iat, today);
  }
  touchAccount.run(claims.given_name, claims.family_name, today, account);
  touchIdentity.run(claims.iat, claims.email);
  const session = randomBytes(32).toString("base64url");
  const publicId = randomBytes(8).toString("hex");
  open.run(sha256(session), publicId, account, claims.email, JSON.stringify(claims), now, now + LIFETIME, address, userAgent);
  note.run(randomBytes(5).toString("hex"), now, claims.email, claims.email, account, address, userAgent);
  return session;
});

const app = express();
app.use(cookieSession({ name: "peer_session", keys: ["s".repeat(48)], httpOnly: true, sameSite: "lax" }));
app.use(express.urlencoded({ extended: false }));
app.post("/sso/login/jwt", (request, response) => {
  let claims;
  try {
    claims = jwt.verify(request.body.jwt, secret, { algorithms: ["HS256"], clockTolerance: SKEW });
  } catch {
    return response.status(401).send("not valid");
  }
  const session = signIn.immediate(claims, request.socket.remoteAddress, request.get("User-Agent") ?? "");
  if (session === null) return response.status(401).send("used before");
  request.session.id = session;
  response.redirect(303, "/");
});
app.listen(Number(process.env.PEER_PORT), "127.0.0.1");
