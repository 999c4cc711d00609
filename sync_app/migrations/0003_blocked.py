import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


FORWARD = """
CREATE FUNCTION sync_app_refuse_blocked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM configs_app_bundle b
               LEFT JOIN configs_app_revision w ON w.id = b.webhooks_id
               LEFT JOIN configs_app_revision c ON c.id = b.connections_id
               JOIN sync_app_blocked k ON k.environment_id = b.environment_id AND k.lifted_at IS NULL
                    AND k.webhooks_digest = coalesce(w.digest, '') AND k.connections_digest = coalesce(c.digest, '')
               WHERE b.id = NEW.bundle_id) THEN
        RAISE EXCEPTION 'this content was rolled back and is blocked' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rollout_not_blocked BEFORE INSERT ON sync_app_rollout
    FOR EACH ROW EXECUTE FUNCTION sync_app_refuse_blocked();
"""
BACK = """
DROP TRIGGER rollout_not_blocked ON sync_app_rollout;
DROP FUNCTION sync_app_refuse_blocked();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('configs_app', '0010_plan_and_targets'),
        ('instances_app', '0002_plan'),
        ('sync_app', '0002_waves'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Blocked',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('webhooks_digest', models.CharField(blank=True, max_length=64)),
                ('connections_digest', models.CharField(blank=True, max_length=64)),
                ('reason', models.CharField(max_length=500)),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('lifted_at', models.DateTimeField(null=True)),
                ('lift_reason', models.CharField(blank=True, max_length=500)),
            ],
            options={
                'ordering': ['-at'],
            },
        ),
        migrations.AddField(
            model_name='blocked',
            name='bundle',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='configs_app.bundle'),
        ),
        migrations.AddField(
            model_name='blocked',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='blocked',
            name='environment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='blocked', to='instances_app.environment'),
        ),
        migrations.AddField(
            model_name='blocked',
            name='lifted_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='blocked',
            name='rollout',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sync_app.rollout'),
        ),
        migrations.AddConstraint(
            model_name='blocked',
            constraint=models.UniqueConstraint(condition=models.Q(('lifted_at', None)), fields=('environment', 'webhooks_digest', 'connections_digest'), name='blocked_once'),
        ),
        migrations.AddConstraint(
            model_name='blocked',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='blocked_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='blocked',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('lift_reason', ''), ('lifted_at', None), ('lifted_by', None)), models.Q(('lifted_at__isnull', False), ('lifted_by__isnull', False), models.Q(('lift_reason', ''), _negated=True)), _connector='OR'), name='blocked_lifted_with_reason'),
        ),
        migrations.RunSQL(FORWARD, BACK),
    ]
