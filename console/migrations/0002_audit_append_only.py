from django.db import migrations

REFUSE = """
CREATE FUNCTION console_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON console_auditevent
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON console_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION console_refuse_change();
"""
ALLOW = """
DROP TRIGGER audit_no_truncate ON console_auditevent;
DROP TRIGGER audit_append_only ON console_auditevent;
DROP FUNCTION console_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("console", "0001_initial")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
