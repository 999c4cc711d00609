"""What the database itself holds: history is immutable, and nobody is alone in a protected environment.

The domain code refuses first, in words; these are the backstop against code that forgets to.
"""

from django.db import migrations

FORWARD = """
CREATE TRIGGER revision_immutable BEFORE UPDATE OR DELETE ON configs_app_revision
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
CREATE TRIGGER bundle_immutable BEFORE UPDATE OR DELETE ON configs_app_bundle
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
CREATE TRIGGER approval_immutable BEFORE UPDATE OR DELETE ON configs_app_approval
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();

CREATE FUNCTION configs_app_refuse_own_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM configs_app_change c
               WHERE c.id = NEW.change_id AND NEW.approver_id IN (c.author_id, c.last_editor_id)) THEN
        RAISE EXCEPTION 'the author or last editor of a change cannot approve it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_by_another BEFORE INSERT ON configs_app_approval
    FOR EACH ROW EXECUTE FUNCTION configs_app_refuse_own_approval();

CREATE FUNCTION configs_app_refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER change_published_with_approval BEFORE UPDATE ON configs_app_change
    FOR EACH ROW EXECUTE FUNCTION configs_app_refuse_unapproved();
"""
BACK = """
DROP TRIGGER change_published_with_approval ON configs_app_change;
DROP FUNCTION configs_app_refuse_unapproved();
DROP TRIGGER approval_by_another ON configs_app_approval;
DROP FUNCTION configs_app_refuse_own_approval();
DROP TRIGGER approval_immutable ON configs_app_approval;
DROP TRIGGER bundle_immutable ON configs_app_bundle;
DROP TRIGGER revision_immutable ON configs_app_revision;
"""


class Migration(migrations.Migration):
    dependencies = [("configs_app", "0002_relations"), ("console", "0002_audit_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACK)]
