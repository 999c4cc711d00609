"""Approvals by anybody who had a part in the change are refused; it used to be the author and the last editor.

Who edited in between is read from the audit trail, once.
"""

from django.db import migrations

FORWARD = """
INSERT INTO configs_app_contributor (change_id, person_id, since)
SELECT DISTINCT ON (c.id, p.id) c.id, p.id, c.created_at
FROM configs_app_change c
JOIN console_user p ON p.id IN (c.author_id, c.last_editor_id)
    OR EXISTS (SELECT 1 FROM console_auditevent e
               WHERE e.target_type = 'change' AND e.target_id = c.id::text AND e.actor_id = p.id
                 AND e.action IN ('change.opened', 'change.edited', 'change.rebased'));

CREATE TRIGGER contributor_immutable BEFORE UPDATE OR DELETE ON configs_app_contributor
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();

CREATE OR REPLACE FUNCTION configs_app_refuse_own_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM configs_app_contributor c
               WHERE c.change_id = NEW.change_id AND c.person_id = NEW.approver_id) THEN
        RAISE EXCEPTION 'whoever had a part in a change cannot approve it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION configs_app_refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'published' AND OLD.state <> 'published'
       AND (SELECT protected FROM instances_app_environment WHERE id = NEW.environment_id)
       AND NOT EXISTS (SELECT 1 FROM configs_app_approval a
                       WHERE a.change_id = NEW.id AND a.seal = NEW.seal AND NEW.seal <> ''
                         AND NOT EXISTS (SELECT 1 FROM configs_app_contributor c
                                         WHERE c.change_id = NEW.id AND c.person_id = a.approver_id)) THEN
        RAISE EXCEPTION 'a change in a protected environment needs an approval of this content by another person'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
BACK = """
CREATE OR REPLACE FUNCTION configs_app_refuse_own_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM configs_app_change c
               WHERE c.id = NEW.change_id AND NEW.approver_id IN (c.author_id, c.last_editor_id)) THEN
        RAISE EXCEPTION 'the author or last editor of a change cannot approve it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION configs_app_refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'published' AND OLD.state <> 'published'
       AND (SELECT protected FROM instances_app_environment WHERE id = NEW.environment_id)
       AND NOT EXISTS (SELECT 1 FROM configs_app_approval a
                       WHERE a.change_id = NEW.id AND a.seal = NEW.seal AND NEW.seal <> ''
                         AND a.approver_id NOT IN (NEW.author_id, NEW.last_editor_id)) THEN
        RAISE EXCEPTION 'a change in a protected environment needs an approval of this content by another person'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER contributor_immutable ON configs_app_contributor;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("configs_app", "0011_contributors"),
        ("console", "0002_audit_append_only"),
        ("instances_app", "0001_initial"),
    ]
    operations = [migrations.RunSQL(FORWARD, BACK)]
