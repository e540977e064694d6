CREATE TABLE audit_events (
    id TEXT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    user_id TEXT,
    project_id TEXT,
    remote_addr TEXT,
    action TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    target_id TEXT,
    status BIGINT NOT NULL
);
CREATE INDEX audit_events_at ON audit_events (at);
CREATE TABLE quota_limits (
    service TEXT NOT NULL,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (service, project_id, name)
);
CREATE TABLE token_keys (
    id TEXT PRIMARY KEY NOT NULL,
    public_key BYTEA NOT NULL,
    seed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE revocations (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    before BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX revocations_expires ON revocations (expires_at);
CREATE TABLE role_assignments (
    user_id TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    PRIMARY KEY (user_id, target_type, target_id, role_id)
);
CREATE INDEX role_assignments_target ON role_assignments (target_id);
CREATE TABLE password_history (
    user_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX password_history_user ON password_history (user_id, at);
CREATE TABLE domains (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    tags TEXT NOT NULL,
    options TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX domains_name ON domains (name);
CREATE TABLE projects (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    domain_id TEXT NOT NULL REFERENCES domains(id),
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    parent_id TEXT,
    is_domain BIGINT NOT NULL CHECK (is_domain IN (0, 1)),
    tags TEXT NOT NULL,
    options TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX projects_name ON projects (domain_id, name);
CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    domain_id TEXT NOT NULL REFERENCES domains(id),
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    default_project_id TEXT,
    description TEXT,
    password_expires_at BIGINT,
    options TEXT NOT NULL,
    extra TEXT NOT NULL,
    password_hash TEXT,
    failed_logins BIGINT NOT NULL,
    locked_until BIGINT,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (domain_id, name);
CREATE TABLE roles (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    domain_id TEXT,
    description TEXT,
    options TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX roles_name ON roles (name);
CREATE TABLE regions (
    id TEXT PRIMARY KEY NOT NULL,
    description TEXT NOT NULL,
    parent_region_id TEXT,
    generation BIGINT NOT NULL
);
CREATE TABLE services (
    id TEXT PRIMARY KEY NOT NULL,
    type TEXT NOT NULL,
    name TEXT,
    description TEXT,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    generation BIGINT NOT NULL
);
CREATE TABLE endpoints (
    id TEXT PRIMARY KEY NOT NULL,
    interface TEXT NOT NULL CHECK (interface IN ('public', 'internal', 'admin')),
    region_id TEXT,
    service_id TEXT NOT NULL REFERENCES services(id),
    url TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    generation BIGINT NOT NULL
);
CREATE INDEX endpoints_service ON endpoints (service_id);
