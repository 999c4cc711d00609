import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


# What an instance was before this migration it is called; a word that nobody heard lately says nothing.
CALLED = """
UPDATE instances_app_instance SET health_called = CASE health WHEN 'unknown' THEN 'new' ELSE health END,
    health_called_at = health_at, health_streak = 1
"""
# Both are written anew with every check: room in each page keeps their rows where they are (heap-only updates).
ROOM = """
ALTER TABLE instances_app_instance SET (fillfactor = 60);
ALTER TABLE instances_app_observation SET (fillfactor = 70);
"""
FULL = """
ALTER TABLE instances_app_instance RESET (fillfactor);
ALTER TABLE instances_app_observation RESET (fillfactor);
"""
# Glances have the word that pages show (`Instance.health_word`, but for its age), not what the last check found.
GLANCE = r"""
CREATE OR REPLACE FUNCTION instances_app_glance(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM instances_app_instance WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE;
    DELETE FROM instances_app_glance g USING instances_app_instance i
        WHERE g.instance_id = ANY(ids) AND i.id = g.instance_id AND i.retired_at IS NOT NULL;
    INSERT INTO instances_app_glance AS g (instance_id, environment_id, name, health, health_at,
            webhooks_digest, webhooks_at, connections_digest, connections_at, text)
        SELECT i.id, i.environment_id, i.name,
            CASE WHEN i.health_called = 'new' THEN CASE i.health WHEN 'down' THEN 'new' ELSE i.health END
                WHEN i.health = 'down' AND i.health_called <> 'down' THEN 'late' ELSE i.health_called END,
            i.health_at,
            w.digest, w.seen_at, c.digest, c.seen_at,
            lower(E'\n' || i.name || E'\n' || i.base_url || E'\n' ||
                coalesce((SELECT string_agg(l.key || '=' || l.value || E'\n', '')
                          FROM jsonb_each_text(i.labels) AS l (key, value)), ''))
        FROM instances_app_instance i
        LEFT JOIN instances_app_observation w ON w.instance_id = i.id AND w.kind = 'webhooks' AND w.until IS NULL
        LEFT JOIN instances_app_observation c ON c.instance_id = i.id AND c.kind = 'connections' AND c.until IS NULL
        WHERE i.id = ANY(ids) AND i.retired_at IS NULL
        ORDER BY i.id
    ON CONFLICT (instance_id) DO UPDATE SET
        environment_id = excluded.environment_id, name = excluded.name, text = excluded.text,
        health = excluded.health, health_at = excluded.health_at,
        webhooks_digest = excluded.webhooks_digest, webhooks_at = excluded.webhooks_at,
        connections_digest = excluded.connections_digest, connections_at = excluded.connections_at
    WHERE (g.environment_id, g.name, g.text, g.health, g.health_at,
           g.webhooks_digest, g.webhooks_at, g.connections_digest, g.connections_at)
        IS DISTINCT FROM
          (excluded.environment_id, excluded.name, excluded.text, excluded.health, excluded.health_at,
           excluded.webhooks_digest, excluded.webhooks_at, excluded.connections_digest, excluded.connections_at);
END $$;
"""
GLANCE_BACK = r"""
CREATE OR REPLACE FUNCTION instances_app_glance(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM instances_app_instance WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE;
    DELETE FROM instances_app_glance g USING instances_app_instance i
        WHERE g.instance_id = ANY(ids) AND i.id = g.instance_id AND i.retired_at IS NOT NULL;
    INSERT INTO instances_app_glance AS g (instance_id, environment_id, name, health, health_at,
            webhooks_digest, webhooks_at, connections_digest, connections_at, text)
        SELECT i.id, i.environment_id, i.name, i.health, i.health_at,
            w.digest, w.seen_at, c.digest, c.seen_at,
            lower(E'\n' || i.name || E'\n' || i.base_url || E'\n' ||
                coalesce((SELECT string_agg(l.key || '=' || l.value || E'\n', '')
                          FROM jsonb_each_text(i.labels) AS l (key, value)), ''))
        FROM instances_app_instance i
        LEFT JOIN instances_app_observation w ON w.instance_id = i.id AND w.kind = 'webhooks' AND w.until IS NULL
        LEFT JOIN instances_app_observation c ON c.instance_id = i.id AND c.kind = 'connections' AND c.until IS NULL
        WHERE i.id = ANY(ids) AND i.retired_at IS NULL
        ORDER BY i.id
    ON CONFLICT (instance_id) DO UPDATE SET
        environment_id = excluded.environment_id, name = excluded.name, text = excluded.text,
        health = excluded.health, health_at = excluded.health_at,
        webhooks_digest = excluded.webhooks_digest, webhooks_at = excluded.webhooks_at,
        connections_digest = excluded.connections_digest, connections_at = excluded.connections_at
    WHERE (g.environment_id, g.name, g.text, g.health, g.health_at,
           g.webhooks_digest, g.webhooks_at, g.connections_digest, g.connections_at)
        IS DISTINCT FROM
          (excluded.environment_id, excluded.name, excluded.text, excluded.health, excluded.health_at,
           excluded.webhooks_digest, excluded.webhooks_at, excluded.connections_digest, excluded.connections_at);
END $$;
"""
FORWARD = """
CREATE TRIGGER health_transition_append_only BEFORE UPDATE OR DELETE ON instances_app_healthtransition
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
"""
BACK = "DROP TRIGGER health_transition_append_only ON instances_app_healthtransition;"


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0009_discovery'),
        ('console', '0002_audit_append_only'),
    ]

    operations = [
        migrations.CreateModel(
            name='CheckSample',
            fields=[
                ('instance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='instances_app.instance')),
                ('pk', models.CompositePrimaryKey('instance_id', 'at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('checks', models.PositiveSmallIntegerField()),
                ('failures', models.PositiveSmallIntegerField()),
                ('degraded', models.PositiveSmallIntegerField()),
                ('changes', models.PositiveSmallIntegerField()),
                ('ms_mean', models.PositiveIntegerField(null=True)),
                ('ms_max', models.PositiveIntegerField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='HealthTransition',
            fields=[
                ('instance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='instances_app.instance')),
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('before', models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], max_length=20)),
                ('after', models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], max_length=20)),
                ('detail', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'ordering': ['-at', '-pk'],
            },
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_changes',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_checks',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_degraded',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_failures',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_ms',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_ms_max',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='certificate_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='instance',
            name='health_called',
            field=models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], default='new', max_length=20),
        ),
        migrations.AddField(
            model_name='instance',
            name='health_called_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='instance',
            name='health_streak',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='latency_ms',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name='instance',
            name='health',
            field=models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], default='unknown', max_length=20),
        ),
        migrations.AddConstraint(
            model_name='instance',
            constraint=models.CheckConstraint(condition=models.Q(('health_called__in', ['new', 'healthy', 'degraded', 'down'])), name='instance_health_called_known'),
        ),
        migrations.AddIndex(
            model_name='checksample',
            index=django.contrib.postgres.indexes.BrinIndex(fields=['at'], name='check_sample_by_time'),
        ),
        migrations.AddConstraint(
            model_name='checksample',
            constraint=models.CheckConstraint(condition=models.Q(('checks__gte', django.db.models.expressions.CombinedExpression(models.F('failures'), '+', models.F('degraded')))), name='check_sample_failures_of_checks'),
        ),
        migrations.AddIndex(
            model_name='healthtransition',
            index=models.Index(fields=['instance', '-at'], name='health_transition_by_instance'),
        ),
        migrations.AddConstraint(
            model_name='healthtransition',
            constraint=models.CheckConstraint(condition=models.Q(('after__in', ['new', 'healthy', 'degraded', 'down']), ('before__in', ['new', 'healthy', 'degraded', 'down']), models.Q(('before', models.F('after')), _negated=True)), name='health_transition_known'),
        ),
        migrations.RunSQL(ROOM, FULL),
        migrations.RunSQL(GLANCE, GLANCE_BACK),
        migrations.RunSQL(CALLED, migrations.RunSQL.noop),
        migrations.RunSQL(FORWARD, BACK),
    ]
