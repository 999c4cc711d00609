"""Revisions stay immutable; only their seal may be renewed, by a transaction that says so (console/resealing.py).

Nothing else of the row may differ, the digest least of all: it still tells whether the content is what was published.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION configs_app_refuse_revision_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    resealed configs_app_revision := NEW;
BEGIN
    resealed.content_sealed := OLD.content_sealed;
    IF current_setting('console.resealing', true) = 'on' AND resealed IS NOT DISTINCT FROM OLD THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER revision_immutable ON configs_app_revision;
CREATE TRIGGER revision_immutable BEFORE UPDATE ON configs_app_revision
    FOR EACH ROW EXECUTE FUNCTION configs_app_refuse_revision_change();
CREATE TRIGGER revision_not_deleted BEFORE DELETE ON configs_app_revision
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
"""
BACK = """
DROP TRIGGER revision_not_deleted ON configs_app_revision;
DROP TRIGGER revision_immutable ON configs_app_revision;
CREATE TRIGGER revision_immutable BEFORE UPDATE OR DELETE ON configs_app_revision
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
DROP FUNCTION configs_app_refuse_revision_change();
"""


class Migration(migrations.Migration):
    dependencies = [("configs_app", "0008_imports"), ("console", "0002_audit_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACK)]
