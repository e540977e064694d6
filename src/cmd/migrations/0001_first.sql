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
CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE TABLE domains (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    tags TEXT NOT NULL,
    options TEXT NOT NULL,
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX domains_name ON domains (name);
CREATE TABLE projects (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    domain_id TEXT REFERENCES domains(id),
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    parent_id TEXT,
    is_domain BIGINT NOT NULL CHECK (is_domain IN (0, 1)),
    tags TEXT NOT NULL,
    options TEXT NOT NULL,
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX projects_name ON projects (domain_id, name);
CREATE INDEX projects_parent ON projects (parent_id);
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
CREATE TABLE user_groups (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    domain_id TEXT NOT NULL REFERENCES domains(id),
    description TEXT NOT NULL,
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX user_groups_name ON user_groups (domain_id, name);
CREATE TABLE roles (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    domain_id TEXT REFERENCES domains(id),
    description TEXT,
    options TEXT NOT NULL,
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX roles_name ON roles (name) WHERE domain_id IS NULL;
CREATE UNIQUE INDEX roles_domain_name ON roles (domain_id, name) WHERE domain_id IS NOT NULL;
CREATE TABLE regions (
    id TEXT PRIMARY KEY NOT NULL,
    description TEXT NOT NULL,
    parent_region_id TEXT,
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX regions_parent ON regions (parent_region_id);
CREATE TABLE services (
    id TEXT PRIMARY KEY NOT NULL,
    type TEXT NOT NULL,
    name TEXT,
    description TEXT,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE TABLE endpoints (
    id TEXT PRIMARY KEY NOT NULL,
    interface TEXT NOT NULL CHECK (interface IN ('public', 'internal', 'admin')),
    region_id TEXT,
    service_id TEXT NOT NULL REFERENCES services(id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX endpoints_service ON endpoints (service_id);
CREATE INDEX endpoints_region ON endpoints (region_id);
CREATE TABLE endpoint_groups (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    filters TEXT NOT NULL,
    service_id TEXT,
    region_id TEXT,
    interface TEXT,
    generation BIGINT NOT NULL
);
CREATE TABLE application_credentials (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    expires_at BIGINT,
    unrestricted BIGINT NOT NULL CHECK (unrestricted IN (0, 1)),
    roles TEXT NOT NULL,
    limited BIGINT NOT NULL CHECK (limited IN (0, 1)),
    secret_hash TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX application_credentials_name ON application_credentials (user_id, name);
CREATE INDEX application_credentials_project ON application_credentials (project_id);
CREATE TABLE access_rules (
    id TEXT PRIMARY KEY NOT NULL,
    path TEXT NOT NULL,
    method TEXT NOT NULL CHECK (method IN ('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE')),
    service TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX access_rules_user ON access_rules (user_id, service, method, path);
CREATE TABLE credentials (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects(id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    blob TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX credentials_user ON credentials (user_id, type);
CREATE INDEX credentials_project ON credentials (project_id);
CREATE TABLE trusts (
    id TEXT PRIMARY KEY NOT NULL,
    trustor_user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    trustee_user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects(id) ON DELETE CASCADE,
    impersonation BIGINT NOT NULL CHECK (impersonation IN (0, 1)),
    roles TEXT NOT NULL,
    expires_at BIGINT,
    remaining_uses BIGINT,
    redelegation_count BIGINT,
    redelegated_trust_id TEXT REFERENCES trusts(id) ON DELETE CASCADE,
    generation BIGINT NOT NULL
);
CREATE INDEX trusts_trustor ON trusts (trustor_user_id);
CREATE INDEX trusts_trustee ON trusts (trustee_user_id);
CREATE INDEX trusts_project ON trusts (project_id);
CREATE INDEX trusts_redelegated ON trusts (redelegated_trust_id);
CREATE TABLE policies (
    id TEXT PRIMARY KEY NOT NULL,
    type TEXT NOT NULL,
    blob TEXT NOT NULL,
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE TABLE consumers (
    id TEXT PRIMARY KEY NOT NULL,
    description TEXT,
    secret TEXT NOT NULL,
    extra TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE TABLE registered_limits (
    id TEXT PRIMARY KEY NOT NULL,
    service_id TEXT NOT NULL REFERENCES services(id),
    region_id TEXT REFERENCES regions(id),
    resource_name TEXT NOT NULL,
    default_limit BIGINT NOT NULL,
    description TEXT,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX registered_limits_of ON registered_limits (service_id, COALESCE(region_id, ''), resource_name);
CREATE INDEX registered_limits_region ON registered_limits (region_id);
CREATE TABLE limits (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT REFERENCES projects(id) ON DELETE CASCADE,
    domain_id TEXT REFERENCES domains(id) ON DELETE CASCADE,
    service_id TEXT NOT NULL REFERENCES services(id),
    region_id TEXT,
    resource_name TEXT NOT NULL,
    resource_limit BIGINT NOT NULL,
    description TEXT,
    registered_id TEXT NOT NULL REFERENCES registered_limits(id),
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX limits_of ON limits (COALESCE(project_id, ''), COALESCE(domain_id, ''), registered_id);
CREATE INDEX limits_registered ON limits (registered_id);
CREATE TABLE token_keys (
    id TEXT PRIMARY KEY NOT NULL,
    public_key BYTEA NOT NULL,
    seed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE revocations (
    subject TEXT PRIMARY KEY NOT NULL,
    before BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revocations_before ON revocations (before);
CREATE INDEX revocations_expires ON revocations (expires_at);
CREATE TABLE password_history (
    user_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX password_history_user ON password_history (user_id, at);
CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES user_groups(id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);
CREATE TABLE implied_roles (
    prior_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
    implied_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
    PRIMARY KEY (prior_id, implied_id)
);
CREATE INDEX implied_roles_implied ON implied_roles (implied_id);
CREATE TABLE role_assignments (
    actor_type TEXT NOT NULL CHECK (actor_type IN ('user', 'group')),
    actor_id TEXT NOT NULL,
    target_type TEXT NOT NULL CHECK (target_type IN ('project', 'domain', 'system')),
    target_id TEXT NOT NULL,
    role_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
    inherited BIGINT NOT NULL CHECK (inherited IN (0, 1)),
    PRIMARY KEY (actor_type, actor_id, target_type, target_id, role_id, inherited)
);
CREATE INDEX role_assignments_target ON role_assignments (target_id);
CREATE INDEX role_assignments_role ON role_assignments (role_id);
CREATE TABLE project_endpoints (
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    endpoint_id TEXT NOT NULL REFERENCES endpoints(id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_id)
);
CREATE INDEX project_endpoints_endpoint ON project_endpoints (endpoint_id);
CREATE TABLE project_endpoint_groups (
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES endpoint_groups(id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, group_id)
);
CREATE INDEX project_endpoint_groups_group ON project_endpoint_groups (group_id);
CREATE TABLE application_credential_rules (
    application_credential_id TEXT NOT NULL REFERENCES application_credentials(id) ON DELETE CASCADE,
    access_rule_id TEXT NOT NULL REFERENCES access_rules(id),
    PRIMARY KEY (application_credential_id, access_rule_id)
);
CREATE INDEX application_credential_rules_rule ON application_credential_rules (access_rule_id);
CREATE TABLE domain_configs (
    domain_id TEXT NOT NULL REFERENCES domains(id) ON DELETE CASCADE,
    section TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (domain_id, section, name)
);
CREATE TABLE fleet_hosts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  zone TEXT NOT NULL,
  role TEXT NOT NULL DEFAULT 'compute',
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
  forced_down BIGINT NOT NULL DEFAULT 0,
  uptime TEXT,
  pool_id TEXT,
  pool_gib BIGINT NOT NULL DEFAULT 0,
  chassis TEXT,
  revision BIGINT NOT NULL DEFAULT 0,
  last_seen_at BIGINT,
  lease_until BIGINT NOT NULL DEFAULT 0,
  leased_since BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE fleet_changes (
  host_id TEXT NOT NULL REFERENCES fleet_hosts(id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  item_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  reported_at BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (host_id, kind, item_id)
);
CREATE INDEX fleet_changes_revision ON fleet_changes (host_id, revision);
CREATE INDEX fleet_changes_item ON fleet_changes (kind, item_id);
CREATE TABLE fleet_joins (
  host_id TEXT PRIMARY KEY REFERENCES fleet_hosts(id) ON DELETE CASCADE,
  token_sha256 TEXT NOT NULL UNIQUE,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE TABLE fleet_certs (
  sha256 TEXT PRIMARY KEY,
  host_id TEXT NOT NULL REFERENCES fleet_hosts(id) ON DELETE CASCADE,
  not_after BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX fleet_certs_host ON fleet_certs (host_id);
CREATE TABLE images (
    name TEXT,
    disk_format TEXT CHECK (disk_format IN ('raw', 'qcow2', 'vmdk', 'vdi', 'vhd', 'vhdx', 'iso', 'ploop', 'ami', 'ari', 'aki')),
    container_format TEXT CHECK (container_format IN ('bare', 'ovf', 'ova', 'docker', 'ami', 'ari', 'aki', 'compressed')),
    visibility TEXT NOT NULL CHECK (visibility IN ('private', 'public', 'shared', 'community')),
    size BIGINT,
    virtual_size BIGINT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'uploading', 'active', 'deactivated')),
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
    staged_location TEXT,
    staged_size BIGINT,
    staged_virtual_size BIGINT,
    staged_md5 TEXT,
    staged_sha512 TEXT,
    staged_unbootable TEXT,
    staged_at BIGINT,
    unbootable TEXT,
    generation BIGINT NOT NULL
);
CREATE INDEX images_owner ON images (owner, created_at, id, size, staged_size, status);
CREATE INDEX images_created ON images (created_at, id);
CREATE TABLE image_tasks (
    id TEXT PRIMARY KEY NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    owner TEXT NOT NULL,
    input TEXT NOT NULL,
    result TEXT,
    message TEXT NOT NULL,
    image_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE INDEX image_tasks_image ON image_tasks (image_id);
CREATE INDEX image_tasks_owner ON image_tasks (owner, created_at, id);
CREATE INDEX image_tasks_expires ON image_tasks (expires_at);
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
CREATE TABLE image_exports (
    id TEXT PRIMARY KEY NOT NULL,
    source TEXT NOT NULL,
    source_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    disk_format TEXT NOT NULL,
    held BIGINT NOT NULL CHECK (held IN (0, 1)),
    deadline_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX image_exports_host ON image_exports (host_id);
CREATE INDEX image_exports_source ON image_exports (source_id);
CREATE INDEX image_exports_deadline ON image_exports (deadline_at);
CREATE TABLE metadef_namespaces (
    namespace TEXT PRIMARY KEY NOT NULL,
    display_name TEXT,
    description TEXT,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    is_protected BIGINT NOT NULL CHECK (is_protected IN (0, 1)),
    owner TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    id TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX metadef_namespaces_id ON metadef_namespaces (id);
CREATE INDEX metadef_namespaces_owner ON metadef_namespaces (owner, created_at, namespace);
CREATE TABLE metadef_parts (
    id TEXT PRIMARY KEY NOT NULL,
    namespace_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX metadef_parts_name ON metadef_parts (namespace_id, kind, name);
CREATE TABLE metadef_types (
    name TEXT PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE TABLE metadef_associations (
    id TEXT PRIMARY KEY NOT NULL,
    namespace_id TEXT NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT,
    properties_target TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX metadef_associations_name ON metadef_associations (namespace_id, name);
CREATE TABLE networks (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL CHECK (admin_state_up IN (0, 1)),
    status TEXT NOT NULL,
    mtu BIGINT NOT NULL,
    shared BIGINT NOT NULL CHECK (shared IN (0, 1)),
    external BIGINT NOT NULL CHECK (external IN (0, 1)),
    is_default BIGINT NOT NULL CHECK (is_default IN (0, 1)),
    port_security_enabled BIGINT NOT NULL CHECK (port_security_enabled IN (0, 1)),
    dns_domain TEXT NOT NULL,
    network_type TEXT NOT NULL CHECK (network_type IN ('local', 'flat', 'vlan', 'vxlan', 'gre', 'geneve')),
    physical_network TEXT,
    segmentation_id BIGINT,
    availability_zone_hints TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX networks_project ON networks (project_id, created_at, id);
CREATE TABLE address_scopes (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    ip_version BIGINT NOT NULL,
    shared BIGINT NOT NULL CHECK (shared IN (0, 1)),
    generation BIGINT NOT NULL
);
CREATE INDEX address_scopes_project ON address_scopes (project_id, id);
CREATE TABLE subnetpools (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    prefixes TEXT NOT NULL,
    default_prefixlen BIGINT,
    min_prefixlen BIGINT,
    max_prefixlen BIGINT,
    default_quota BIGINT,
    ip_version BIGINT NOT NULL,
    shared BIGINT NOT NULL CHECK (shared IN (0, 1)),
    is_default BIGINT NOT NULL CHECK (is_default IN (0, 1)),
    address_scope_id TEXT REFERENCES address_scopes(id),
    description TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX subnetpools_project ON subnetpools (project_id, created_at, id);
CREATE TABLE subnets (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    network_id TEXT NOT NULL REFERENCES networks(id),
    ip_version BIGINT NOT NULL,
    cidr TEXT,
    gateway_ip TEXT,
    allocation_pools TEXT,
    enable_dhcp BIGINT NOT NULL CHECK (enable_dhcp IN (0, 1)),
    dns_nameservers TEXT,
    host_routes TEXT,
    ipv6_ra_mode TEXT CHECK (ipv6_ra_mode IN ('slaac', 'dhcpv6-stateful', 'dhcpv6-stateless')),
    ipv6_address_mode TEXT CHECK (ipv6_address_mode IN ('slaac', 'dhcpv6-stateful', 'dhcpv6-stateless')),
    description TEXT NOT NULL,
    service_types TEXT NOT NULL,
    subnetpool_id TEXT,
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX subnets_network ON subnets (network_id);
CREATE INDEX subnets_project ON subnets (project_id, created_at, id);
CREATE INDEX subnets_pool ON subnets (subnetpool_id) WHERE subnetpool_id IS NOT NULL;
CREATE TABLE ports (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    network_id TEXT NOT NULL REFERENCES networks(id),
    mac_address TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL CHECK (admin_state_up IN (0, 1)),
    status TEXT NOT NULL,
    device_id TEXT NOT NULL,
    device_owner TEXT NOT NULL,
    fixed_ips TEXT NOT NULL,
    security_groups TEXT NOT NULL,
    allowed_address_pairs TEXT NOT NULL,
    port_security_enabled BIGINT NOT NULL CHECK (port_security_enabled IN (0, 1)),
    extra_dhcp_opts TEXT,
    vnic_type TEXT NOT NULL CHECK (vnic_type IN ('normal')),
    binding_host TEXT,
    binding_profile TEXT,
    description TEXT NOT NULL,
    dns_name TEXT,
    dns_domain TEXT,
    host_id TEXT,
    next_host_id TEXT,
    server_id TEXT,
    router_id TEXT,
    preserve BIGINT NOT NULL CHECK (preserve IN (0, 1)),
    nic_order BIGINT NOT NULL,
    nic_tag TEXT,
    leaving BIGINT NOT NULL CHECK (leaving IN (0, 1)),
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX ports_network_mac ON ports (network_id, mac_address);
CREATE INDEX ports_project ON ports (project_id, created_at, id);
CREATE INDEX ports_server ON ports (server_id, nic_order, id) WHERE server_id IS NOT NULL;
CREATE INDEX ports_device ON ports (device_id) WHERE device_id <> '';
CREATE INDEX ports_host ON ports (host_id) WHERE host_id IS NOT NULL;
CREATE INDEX ports_router ON ports (router_id) WHERE router_id IS NOT NULL;
CREATE TABLE address_groups (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    description TEXT NOT NULL,
    addresses TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX address_groups_project ON address_groups (project_id, created_at, id);
CREATE TABLE security_groups (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    description TEXT NOT NULL,
    stateful BIGINT NOT NULL CHECK (stateful IN (0, 1)),
    is_default BIGINT NOT NULL CHECK (is_default IN (0, 1)),
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX security_groups_project ON security_groups (project_id, created_at, id);
CREATE INDEX security_groups_name ON security_groups (project_id, name, id);
CREATE UNIQUE INDEX security_groups_default ON security_groups (project_id) WHERE is_default = 1;
CREATE TABLE security_rules (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    security_group_id TEXT NOT NULL REFERENCES security_groups(id),
    direction TEXT NOT NULL CHECK (direction IN ('ingress', 'egress')),
    ethertype TEXT NOT NULL,
    protocol TEXT,
    port_range_min BIGINT,
    port_range_max BIGINT,
    remote_ip_prefix TEXT,
    remote_group_id TEXT,
    remote_address_group_id TEXT REFERENCES address_groups(id),
    description TEXT,
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX security_rules_group ON security_rules (security_group_id);
CREATE INDEX security_rules_remote ON security_rules (remote_group_id) WHERE remote_group_id IS NOT NULL;
CREATE INDEX security_rules_addresses ON security_rules (remote_address_group_id) WHERE remote_address_group_id IS NOT NULL;
CREATE INDEX security_rules_project ON security_rules (project_id, created_at, id);
CREATE TABLE rbac_policies (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    object_type TEXT NOT NULL CHECK (object_type IN ('network', 'subnetpool', 'security_group', 'address_scope', 'address_group')),
    object_id TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('access_as_shared', 'access_as_external')),
    target_project TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX rbac_policies_project ON rbac_policies (project_id, id);
CREATE UNIQUE INDEX rbac_policies_object ON rbac_policies (object_id, action, target_project);
CREATE INDEX rbac_policies_target ON rbac_policies (target_project, object_type, object_id);
CREATE TABLE routers (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL CHECK (admin_state_up IN (0, 1)),
    status TEXT NOT NULL,
    external_gateway_info TEXT,
    description TEXT NOT NULL,
    routes TEXT,
    availability_zone_hints TEXT NOT NULL,
    gateway_port_id TEXT,
    gateway_network_id TEXT,
    enable_snat BIGINT NOT NULL CHECK (enable_snat IN (0, 1)),
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX routers_project ON routers (project_id, created_at, id);
CREATE INDEX routers_gateway ON routers (gateway_network_id) WHERE gateway_network_id IS NOT NULL;
CREATE TABLE floatingips (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    floating_ip_address TEXT,
    floating_network_id TEXT NOT NULL REFERENCES networks(id),
    router_id TEXT,
    port_id TEXT,
    fixed_ip_address TEXT,
    status TEXT NOT NULL,
    description TEXT NOT NULL,
    dns_name TEXT,
    dns_domain TEXT,
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX floatingips_address ON floatingips (floating_network_id, floating_ip_address);
CREATE UNIQUE INDEX floatingips_fixed ON floatingips (port_id, fixed_ip_address) WHERE port_id IS NOT NULL;
CREATE INDEX floatingips_router ON floatingips (router_id) WHERE router_id IS NOT NULL;
CREATE INDEX floatingips_project ON floatingips (project_id, created_at, id);
CREATE TABLE port_forwardings (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    floatingip_id TEXT NOT NULL REFERENCES floatingips(id),
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp', 'sctp', 'dccp')),
    external_port BIGINT NOT NULL,
    internal_port_id TEXT NOT NULL,
    internal_ip_address TEXT,
    internal_port BIGINT NOT NULL,
    description TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX port_forwardings_external ON port_forwardings (floatingip_id, protocol, external_port);
CREATE UNIQUE INDEX port_forwardings_internal ON port_forwardings (internal_port_id, protocol, internal_ip_address, internal_port);
CREATE TABLE network_agents (
    id TEXT PRIMARY KEY NOT NULL,
    admin_state_up BIGINT NOT NULL CHECK (admin_state_up IN (0, 1)),
    description TEXT,
    host_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX network_agents_host ON network_agents (host_id, kind);
CREATE TABLE metering_labels (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    description TEXT NOT NULL,
    shared BIGINT NOT NULL CHECK (shared IN (0, 1)),
    generation BIGINT NOT NULL
);
CREATE TABLE metering_rules (
    id TEXT PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL,
    metering_label_id TEXT NOT NULL REFERENCES metering_labels(id),
    direction TEXT NOT NULL CHECK (direction IN ('ingress', 'egress')),
    remote_ip_prefix TEXT,
    source_ip_prefix TEXT,
    destination_ip_prefix TEXT,
    excluded BIGINT NOT NULL CHECK (excluded IN (0, 1)),
    generation BIGINT NOT NULL
);
CREATE INDEX metering_rules_label ON metering_rules (metering_label_id);
CREATE TABLE ip_allocations (
    subnet_id TEXT NOT NULL,
    address TEXT NOT NULL,
    next_address TEXT NOT NULL,
    network_id TEXT NOT NULL,
    holder_id TEXT NOT NULL,
    ip TEXT NOT NULL,
    PRIMARY KEY (subnet_id, address)
);
CREATE INDEX ip_allocations_holder ON ip_allocations (holder_id);
CREATE INDEX ip_allocations_ip ON ip_allocations (ip);
CREATE TABLE port_groups (
    port_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    PRIMARY KEY (port_id, group_id)
);
CREATE INDEX port_groups_group ON port_groups (group_id);
CREATE TABLE auto_topologies (
    project_id TEXT PRIMARY KEY NOT NULL,
    network_id TEXT NOT NULL,
    router_id TEXT NOT NULL
);
CREATE TABLE agent_bindings (
    kind TEXT NOT NULL,
    item_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    wanted BIGINT NOT NULL,
    PRIMARY KEY (kind, item_id, host_id)
);
CREATE INDEX agent_bindings_item ON agent_bindings (item_id);
CREATE TABLE volume_types (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    is_public BIGINT NOT NULL CHECK (is_public IN (0, 1)),
    description TEXT,
    extra_specs TEXT NOT NULL,
    qos_specs_id TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX volume_types_name ON volume_types (name);
CREATE TABLE volume_qos_specs (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    consumer TEXT NOT NULL CHECK (consumer IN ('front-end', 'back-end', 'both')),
    specs TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX volume_qos_name ON volume_qos_specs (name);
CREATE TABLE volumes (
    id TEXT PRIMARY KEY NOT NULL,
    state TEXT NOT NULL,
    size_gib BIGINT,
    zone TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    name TEXT,
    description TEXT,
    snapshot_id TEXT,
    source_id TEXT,
    metadata TEXT NOT NULL,
    user_id TEXT NOT NULL,
    bootable BIGINT NOT NULL CHECK (bootable IN (0, 1)),
    project_id TEXT NOT NULL,
    image_metadata TEXT NOT NULL,
    host TEXT,
    group_id TEXT,
    type_id TEXT NOT NULL,
    host_id TEXT,
    pool_id TEXT,
    from_host_id TEXT,
    next_host_id TEXT,
    image_id TEXT,
    image_spec TEXT,
    snapshot_volume_id TEXT,
    wanted BIGINT NOT NULL CHECK (wanted IN (0, 1)),
    going BIGINT NOT NULL CHECK (going IN (0, 1)),
    read_only BIGINT,
    seen_ready BIGINT NOT NULL CHECK (seen_ready IN (0, 1)),
    seen_size_gib BIGINT NOT NULL,
    seen_error TEXT,
    seen_at BIGINT,
    state_since BIGINT NOT NULL,
    state_deadline BIGINT,
    generation BIGINT NOT NULL
);
CREATE INDEX volumes_project ON volumes (project_id, created_at, id, size_gib);
CREATE INDEX volumes_host ON volumes (host_id) WHERE host_id IS NOT NULL;
CREATE INDEX volumes_deadline ON volumes (state_deadline) WHERE state_deadline IS NOT NULL;
CREATE INDEX volumes_being_made ON volumes (state, source_id, snapshot_id, image_id) WHERE state = 'creating';
CREATE TABLE snapshots (
    id TEXT PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    name TEXT,
    description TEXT,
    volume_id TEXT,
    state TEXT NOT NULL,
    size_gib BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    project_id TEXT NOT NULL,
    group_snapshot_id TEXT,
    user_id TEXT NOT NULL,
    said_progress TEXT,
    host_id TEXT,
    type_id TEXT NOT NULL,
    bootable BIGINT NOT NULL CHECK (bootable IN (0, 1)),
    image_metadata TEXT NOT NULL,
    wanted BIGINT NOT NULL CHECK (wanted IN (0, 1)),
    seen_there BIGINT NOT NULL CHECK (seen_there IN (0, 1)),
    state_since BIGINT NOT NULL,
    state_deadline BIGINT,
    generation BIGINT NOT NULL
);
CREATE INDEX snapshots_project ON snapshots (project_id, created_at, id, size_gib);
CREATE INDEX snapshots_volume ON snapshots (volume_id);
CREATE INDEX snapshots_host ON snapshots (host_id) WHERE host_id IS NOT NULL;
CREATE INDEX snapshots_deadline ON snapshots (state_deadline) WHERE state_deadline IS NOT NULL;
CREATE TABLE attachments (
    state TEXT NOT NULL,
    server_id TEXT,
    volume_id TEXT NOT NULL,
    id TEXT PRIMARY KEY NOT NULL,
    attached_at BIGINT,
    mode TEXT,
    project_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    plugged BIGINT NOT NULL CHECK (plugged IN (0, 1)),
    device TEXT,
    tag TEXT,
    boot_index BIGINT NOT NULL,
    delete_on_termination BIGINT NOT NULL CHECK (delete_on_termination IN (0, 1)),
    host_name TEXT,
    connector TEXT,
    state_deadline BIGINT,
    generation BIGINT NOT NULL
);
CREATE INDEX attachments_project ON attachments (project_id, created_at, id);
CREATE INDEX attachments_volume ON attachments (volume_id);
CREATE INDEX attachments_server ON attachments (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX attachments_deadline ON attachments (state_deadline) WHERE state_deadline IS NOT NULL;
CREATE TABLE volume_transfers (
    id TEXT PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    name TEXT,
    volume_id TEXT NOT NULL,
    no_snapshots BIGINT NOT NULL CHECK (no_snapshots IN (0, 1)),
    project_id TEXT NOT NULL,
    salt TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX volume_transfers_volume ON volume_transfers (volume_id);
CREATE INDEX volume_transfers_project ON volume_transfers (project_id, created_at, id);
CREATE TABLE volume_group_types (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    is_public BIGINT NOT NULL CHECK (is_public IN (0, 1)),
    group_specs TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX volume_group_types_name ON volume_group_types (name);
CREATE TABLE volume_groups (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT,
    state TEXT NOT NULL,
    zone TEXT,
    created_at BIGINT NOT NULL,
    description TEXT,
    group_type_id TEXT NOT NULL,
    volume_types TEXT NOT NULL,
    group_snapshot_id TEXT,
    source_group_id TEXT,
    project_id TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX volume_groups_project ON volume_groups (project_id, created_at, id);
CREATE INDEX volume_groups_type ON volume_groups (group_type_id);
CREATE TABLE volume_group_snapshots (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT,
    group_id TEXT NOT NULL,
    group_type_id TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    description TEXT,
    project_id TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX volume_group_snapshots_project ON volume_group_snapshots (project_id, created_at, id);
CREATE INDEX volume_group_snapshots_group ON volume_group_snapshots (group_id);
CREATE TABLE volume_messages (
    id TEXT PRIMARY KEY NOT NULL,
    event_id TEXT NOT NULL,
    text TEXT NOT NULL,
    level TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT,
    request_id TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX messages_project ON volume_messages (project_id, created_at, id);
CREATE INDEX messages_expire ON volume_messages (expires_at);
CREATE TABLE volume_type_access (
    type_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    PRIMARY KEY (type_id, project_id)
);
CREATE TABLE volume_type_encryption (
    type_id TEXT PRIMARY KEY NOT NULL,
    id TEXT NOT NULL,
    provider TEXT NOT NULL,
    control_location TEXT NOT NULL,
    cipher TEXT,
    key_size BIGINT,
    created_at BIGINT NOT NULL
);
CREATE TABLE volume_default_types (
    project_id TEXT PRIMARY KEY NOT NULL,
    type_id TEXT NOT NULL
);
CREATE TABLE volume_host_settings (
    host_id TEXT PRIMARY KEY NOT NULL,
    enabled BIGINT NOT NULL,
    reason TEXT,
    frozen BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE flavors (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    ram BIGINT NOT NULL,
    disk BIGINT NOT NULL,
    vcpus BIGINT NOT NULL,
    swap BIGINT NOT NULL,
    ephemeral BIGINT NOT NULL,
    rxtx_factor TEXT NOT NULL,
    is_public BIGINT NOT NULL CHECK (is_public IN (0, 1)),
    disabled BIGINT NOT NULL CHECK (disabled IN (0, 1)),
    extra_specs TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX flavors_name ON flavors (name);
CREATE TABLE keypairs (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('ssh', 'x509')),
    user_id TEXT,
    public_key TEXT,
    fingerprint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX keypairs_user_name ON keypairs (user_id, name);
CREATE TABLE servers (
    id TEXT PRIMARY KEY NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    tags TEXT NOT NULL,
    disk_config TEXT NOT NULL CHECK (disk_config IN ('AUTO', 'MANUAL')),
    access_ip_v4 TEXT,
    access_ip_v6 TEXT,
    key_name TEXT,
    config_drive BIGINT NOT NULL CHECK (config_drive IN (0, 1)),
    zone TEXT NOT NULL,
    pinned_zone TEXT,
    hostname TEXT NOT NULL,
    locked BIGINT NOT NULL CHECK (locked IN (0, 1)),
    locked_reason TEXT,
    launched_at BIGINT,
    reservation_id TEXT NOT NULL,
    launch_index BIGINT NOT NULL,
    image_id TEXT,
    flavor_id TEXT NOT NULL,
    user_data TEXT,
    admin_pass TEXT,
    flavor_name TEXT NOT NULL,
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    root_gib BIGINT NOT NULL,
    ephemeral_gib BIGINT NOT NULL,
    swap_mib BIGINT NOT NULL,
    extra_specs TEXT NOT NULL,
    old_flavor TEXT,
    held_vcpus BIGINT NOT NULL,
    held_memory_mib BIGINT NOT NULL,
    held_disk_gib BIGINT NOT NULL,
    key_data TEXT,
    key_type TEXT,
    image_spec TEXT,
    random_seed TEXT NOT NULL,
    hints TEXT,
    project_name TEXT,
    password_data TEXT,
    host_id TEXT,
    host_name TEXT,
    other_host_id TEXT,
    move_stage TEXT,
    move_seq BIGINT NOT NULL,
    want_power BIGINT NOT NULL CHECK (want_power IN (0, 1)),
    boot_seq BIGINT NOT NULL,
    reset_seq BIGINT NOT NULL,
    build_seq BIGINT NOT NULL,
    paused BIGINT NOT NULL CHECK (paused IN (0, 1)),
    suspended BIGINT NOT NULL CHECK (suspended IN (0, 1)),
    rescue_seq BIGINT NOT NULL,
    rescue_image_id TEXT,
    rescue_spec TEXT,
    resize_seq BIGINT NOT NULL,
    checkpoint BIGINT NOT NULL,
    restore_seq BIGINT NOT NULL,
    export_image TEXT,
    backup TEXT,
    shelved_image TEXT,
    seen_power TEXT,
    seen_boot_seq BIGINT NOT NULL,
    seen_reset_seq BIGINT NOT NULL,
    seen_build_seq BIGINT NOT NULL,
    seen_paused BIGINT NOT NULL CHECK (seen_paused IN (0, 1)),
    seen_suspended BIGINT NOT NULL CHECK (seen_suspended IN (0, 1)),
    seen_rescue_seq BIGINT NOT NULL,
    seen_checkpoint BIGINT NOT NULL,
    seen_restore_seq BIGINT NOT NULL,
    seen_ha BIGINT NOT NULL CHECK (seen_ha IN (0, 1)),
    seen_error TEXT,
    seen_at BIGINT,
    state TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    state_deadline BIGINT,
    fault_code BIGINT,
    fault_message TEXT,
    fault_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE INDEX servers_project ON servers (project_id, created_at, id, held_vcpus, held_memory_mib);
CREATE INDEX servers_host ON servers (host_id, held_vcpus, held_memory_mib, held_disk_gib) WHERE host_id IS NOT NULL;
CREATE INDEX servers_other_host ON servers (other_host_id, held_vcpus, held_memory_mib, held_disk_gib) WHERE other_host_id IS NOT NULL;
CREATE INDEX servers_deadline ON servers (state_deadline) WHERE state_deadline IS NOT NULL;
CREATE TABLE instance_actions (
    id TEXT PRIMARY KEY NOT NULL,
    server_id TEXT NOT NULL,
    owner_project TEXT NOT NULL,
    action TEXT NOT NULL,
    request_id TEXT NOT NULL,
    user_id TEXT,
    project_id TEXT,
    start_time BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    message TEXT,
    event TEXT NOT NULL,
    host TEXT,
    apart BIGINT NOT NULL CHECK (apart IN (0, 1)),
    finish_time BIGINT,
    result TEXT,
    gone_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE INDEX instance_actions_server ON instance_actions (server_id, start_time);
CREATE INDEX instance_actions_gone ON instance_actions (gone_at) WHERE gone_at IS NOT NULL;
CREATE TABLE console_tokens (
    id TEXT PRIMARY KEY NOT NULL,
    server_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE TABLE server_groups (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    policy TEXT NOT NULL CHECK (policy IN ('anti-affinity', 'affinity', 'soft-anti-affinity', 'soft-affinity')),
    max_per_host BIGINT,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX server_groups_project ON server_groups (project_id, created_at);
CREATE TABLE server_group_members (
    server_id TEXT PRIMARY KEY NOT NULL REFERENCES servers(id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES server_groups(id) ON DELETE CASCADE,
    generation BIGINT NOT NULL
);
CREATE INDEX server_group_members_group ON server_group_members (group_id);
CREATE TABLE aggregates (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    zone TEXT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX aggregates_number ON aggregates (number);
CREATE UNIQUE INDEX aggregates_name ON aggregates (name);
CREATE TABLE server_usages (
    id TEXT PRIMARY KEY NOT NULL,
    server_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    flavor_name TEXT NOT NULL,
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    disk_gib BIGINT NOT NULL,
    host_name TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE INDEX server_usages_project ON server_usages (project_id, server_id, started_at);
CREATE UNIQUE INDEX server_usages_open ON server_usages (server_id) WHERE ended_at IS NULL;
CREATE TABLE migrations (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL,
    server_id TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('migration', 'resize', 'live-migration', 'evacuation')),
    status TEXT NOT NULL,
    source_host TEXT,
    dest_host TEXT,
    dest_address TEXT,
    old_flavor_id TEXT,
    new_flavor_id TEXT,
    error TEXT,
    user_id TEXT,
    project_id TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX migrations_number ON migrations (number);
CREATE INDEX migrations_server ON migrations (server_id);
CREATE TABLE flavor_access (
    flavor_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    PRIMARY KEY (flavor_id, project_id)
);
CREATE TABLE host_rooms (
    host_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    ratio BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    PRIMARY KEY (host_id, kind)
);
CREATE TABLE traits (
    name TEXT PRIMARY KEY NOT NULL
);
CREATE TABLE host_traits (
    host_id TEXT NOT NULL,
    trait TEXT NOT NULL,
    PRIMARY KEY (host_id, trait)
);
CREATE TABLE aggregate_hosts (
    aggregate_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    host_name TEXT NOT NULL,
    PRIMARY KEY (aggregate_id, host_id)
);
CREATE INDEX aggregate_hosts_host ON aggregate_hosts (host_id);
CREATE TABLE cached_images (
    host_id TEXT NOT NULL,
    image_id TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (host_id, image_id)
);
