"""Late reviews are closed once, by somebody else; and rules become looser only beside one that is open."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION instances_app_refuse_late_review() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    closed instances_app_latereview := NEW;
BEGIN
    closed.closed_at := OLD.closed_at;
    closed.closed_by_id := OLD.closed_by_id;
    closed.note := OLD.note;
    IF OLD.closed_at IS NOT NULL OR closed IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'a late review is closed once and stays as it is' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.closed_by_id = ANY (NEW.excluded) THEN
        RAISE EXCEPTION 'whoever had a part in it cannot close a late review' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER late_review_closed_once BEFORE UPDATE ON instances_app_latereview
    FOR EACH ROW EXECUTE FUNCTION instances_app_refuse_late_review();
CREATE TRIGGER late_review_not_deleted BEFORE DELETE ON instances_app_latereview
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();

CREATE FUNCTION instances_app_refuse_quiet_loosening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.protected
       AND (NOT NEW.protected OR NEW.approvals < OLD.approvals OR NEW.approvals_high < OLD.approvals_high
            OR (OLD.approvers_group_id IS NOT NULL AND NEW.approvers_group_id IS DISTINCT FROM OLD.approvers_group_id))
       AND NOT EXISTS (SELECT 1 FROM instances_app_latereview r
                       WHERE r.environment_id = NEW.id AND r.cause = 'rules' AND r.closed_at IS NULL) THEN
        RAISE EXCEPTION 'rules become looser only beside an open late review' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER environment_loosened_aloud BEFORE UPDATE ON instances_app_environment
    FOR EACH ROW EXECUTE FUNCTION instances_app_refuse_quiet_loosening();
"""
BACK = """
DROP TRIGGER environment_loosened_aloud ON instances_app_environment;
DROP FUNCTION instances_app_refuse_quiet_loosening();
DROP TRIGGER late_review_not_deleted ON instances_app_latereview;
DROP TRIGGER late_review_closed_once ON instances_app_latereview;
DROP FUNCTION instances_app_refuse_late_review();
"""


class Migration(migrations.Migration):
    dependencies = [("instances_app", "0003_rules_and_late_reviews"), ("console", "0002_audit_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACK)]
