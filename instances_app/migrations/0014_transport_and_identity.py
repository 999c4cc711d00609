"""How instances are reached, and which place each is.

Environments that exist go on allowing plain http, so that nothing breaks; nothing is pinned before the next check.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION instances_app_refuse_other_trust() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.authorities, NEW.authority_prints, NEW.certificate, NEW.created_at)
        IS DISTINCT FROM (OLD.authorities, OLD.authority_prints, OLD.certificate, OLD.created_at) THEN
        RAISE EXCEPTION 'a trust stays as it is; another one is another row' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trust_stays BEFORE UPDATE ON instances_app_environmenttrust
    FOR EACH ROW EXECUTE FUNCTION instances_app_refuse_other_trust();

CREATE FUNCTION instances_app_refuse_quiet_transport() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before_ varchar[] := coalesce((SELECT authority_prints FROM instances_app_environmenttrust WHERE id = OLD.trust_id), '{}');
    after_ varchar[] := coalesce((SELECT authority_prints FROM instances_app_environmenttrust WHERE id = NEW.trust_id), '{}');
    others CONSTANT boolean := before_ <> after_ AND (before_ = '{}' OR after_ = '{}' OR NOT after_ <@ before_);
BEGIN
    IF OLD.protected AND (NEW.plain_http AND NOT OLD.plain_http OR others)
       AND NOT EXISTS (SELECT 1 FROM instances_app_latereview r
                       WHERE r.environment_id = NEW.id AND r.cause = 'rules' AND r.closed_at IS NULL) THEN
        RAISE EXCEPTION 'transport becomes looser in a protected environment only beside an open late review'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.plain_http AND NOT NEW.plain_http AND EXISTS (
        SELECT 1 FROM instances_app_instance i
        WHERE i.environment_id = NEW.id AND i.retired_at IS NULL AND i.base_url LIKE 'http:%') THEN
        RAISE EXCEPTION 'instances of this environment have addresses of plain http' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER environment_transport_aloud BEFORE UPDATE OF plain_http, trust_id ON instances_app_environment
    FOR EACH ROW EXECUTE FUNCTION instances_app_refuse_quiet_transport();

CREATE FUNCTION instances_app_refuse_plain_http() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM instances_app_environment e WHERE e.id = NEW.environment_id AND NOT e.plain_http) THEN
        RAISE EXCEPTION 'this environment allows no address of plain http' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER instance_over_tls BEFORE INSERT OR UPDATE OF base_url, environment_id ON instances_app_instance
    FOR EACH ROW WHEN (NEW.base_url LIKE 'http:%' AND NEW.retired_at IS NULL)
    EXECUTE FUNCTION instances_app_refuse_plain_http();

CREATE FUNCTION instances_app_refuse_quiet_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM instances_app_environment e WHERE e.id = NEW.environment_id AND e.protected)
       AND NOT EXISTS (SELECT 1 FROM instances_app_latereview r
                       WHERE r.environment_id = NEW.environment_id AND r.cause = 'rules' AND r.closed_at IS NULL) THEN
        RAISE EXCEPTION 'another place is pinned in a protected environment only beside an open late review'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER instance_pinned_aloud BEFORE UPDATE OF identity ON instances_app_instance
    FOR EACH ROW WHEN (OLD.identity <> '' AND NEW.identity <> OLD.identity)
    EXECUTE FUNCTION instances_app_refuse_quiet_place();
"""
BACK = """
DROP TRIGGER instance_pinned_aloud ON instances_app_instance;
DROP FUNCTION instances_app_refuse_quiet_place();
DROP TRIGGER instance_over_tls ON instances_app_instance;
DROP FUNCTION instances_app_refuse_plain_http();
DROP TRIGGER environment_transport_aloud ON instances_app_environment;
DROP FUNCTION instances_app_refuse_quiet_transport();
DROP TRIGGER trust_stays ON instances_app_environmenttrust;
DROP FUNCTION instances_app_refuse_other_trust();
"""


class Migration(migrations.Migration):

    dependencies = [("instances_app", "0013_rotation")]

    operations = [
        migrations.CreateModel(
            name="EnvironmentTrust",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("authorities", models.TextField(blank=True)),
                (
                    "authority_prints",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), default=list, size=None
                    ),
                ),
                ("certificate", models.TextField(blank=True)),
                ("key_sealed", models.BinaryField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("certificate", ""), ("key_sealed", None))
                        | models.Q(models.Q(("certificate", ""), _negated=True), ("key_sealed__isnull", False)),
                        name="trust_certificate_with_its_key",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("authorities", ""), _negated=True)
                        | models.Q(("certificate", ""), _negated=True),
                        name="trust_says_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("authorities", ""), ("authority_prints", []))
                        | models.Q(
                            models.Q(("authorities", ""), _negated=True),
                            models.Q(("authority_prints", []), _negated=True),
                        ),
                        name="trust_prints_of_its_authorities",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="environment", name="plain_http", field=models.BooleanField(default=True)
        ),
        migrations.AddField(
            model_name="environment",
            name="trust",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="instances_app.environmenttrust",
            ),
        ),
        migrations.AddField(
            model_name="instance", name="identity", field=models.CharField(blank=True, max_length=64)
        ),
        migrations.AddField(model_name="instance", name="identity_at", field=models.DateTimeField(null=True)),
        migrations.AddField(
            model_name="instance", name="stranger", field=models.CharField(blank=True, max_length=64)
        ),
        migrations.AddField(model_name="instance", name="stranger_at", field=models.DateTimeField(null=True)),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(
                condition=models.Q(("stranger", ""), ("stranger_at", None))
                | models.Q(
                    models.Q(("stranger", ""), _negated=True),
                    models.Q(("identity", ""), _negated=True),
                    ("stranger_at__isnull", False),
                ),
                name="instance_stranger_for_a_pinned_place",
            ),
        ),
        migrations.AddIndex(
            model_name="instance",
            index=models.Index(
                condition=models.Q(("retired_at", None), models.Q(("identity", ""), _negated=True)),
                fields=["identity"],
                name="instance_by_identity",
            ),
        ),
        migrations.AddField(model_name="discoverysource", name="index", field=models.BigIntegerField(default=0)),
        migrations.RunSQL(FORWARD, BACK),
    ]
