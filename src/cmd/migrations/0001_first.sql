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
CREATE TABLE fleet_hosts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  zone TEXT NOT NULL,
  secret_sha256 TEXT NOT NULL,
  vcpus BIGINT NOT NULL DEFAULT 0,
  memory_mib BIGINT NOT NULL DEFAULT 0,
  disk_gib BIGINT NOT NULL DEFAULT 0,
  hypervisor_type TEXT,
  hypervisor_version BIGINT NOT NULL DEFAULT 0,
  cpu_info TEXT,
  agent_url TEXT,
  version TEXT,
  enabled BIGINT NOT NULL DEFAULT 1,
  disabled_reason TEXT,
  revision BIGINT NOT NULL DEFAULT 0,
  last_seen_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE fleet_changes (
  host_id TEXT NOT NULL REFERENCES fleet_hosts(id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  item_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (host_id, kind, item_id)
);
CREATE INDEX fleet_changes_revision ON fleet_changes (host_id, revision);
CREATE TABLE images (
    name TEXT,
    disk_format TEXT,
    container_format TEXT CHECK (container_format IN ('bare')),
    visibility TEXT NOT NULL CHECK (visibility IN ('private', 'public', 'shared', 'community')),
    size BIGINT,
    virtual_size BIGINT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'active', 'deactivated')),
    checksum TEXT,
    is_protected BIGINT NOT NULL CHECK (is_protected IN (0, 1)),
    min_ram BIGINT NOT NULL,
    min_disk BIGINT NOT NULL,
    owner TEXT,
    os_hidden BIGINT NOT NULL CHECK (os_hidden IN (0, 1)),
    os_hash_algo TEXT,
    os_hash_value TEXT,
    id TEXT PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tags TEXT NOT NULL,
    properties TEXT NOT NULL,
    location TEXT,
    unbootable TEXT,
    generation BIGINT NOT NULL
);
CREATE INDEX images_owner ON images (owner, created_at);
CREATE INDEX images_created ON images (created_at, id);
CREATE TABLE image_members (
    id TEXT PRIMARY KEY NOT NULL,
    member_id TEXT NOT NULL,
    image_id TEXT NOT NULL REFERENCES images(id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    generation BIGINT NOT NULL
);
CREATE INDEX image_members_image ON image_members (image_id);
CREATE INDEX image_members_member ON image_members (member_id);
