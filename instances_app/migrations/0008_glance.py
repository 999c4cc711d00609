import django.db.models.deletion
from django.db import migrations, models

# The instances are locked before their glances are made anew, in the order of their ids, as `observations.record` does.
# So two writers of one instance follow each other, and the second one's statement sees what the first one committed.
FORWARD = r"""
CREATE FUNCTION instances_app_glance(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
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

CREATE FUNCTION instances_app_instance_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM instances_app_glance(ARRAY(SELECT id FROM changed));
    RETURN NULL;
END $$;
CREATE TRIGGER instance_added AFTER INSERT ON instances_app_instance REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION instances_app_instance_changed();
CREATE TRIGGER instance_changed AFTER UPDATE ON instances_app_instance REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION instances_app_instance_changed();

CREATE FUNCTION instances_app_observation_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ids CONSTANT bigint[] := ARRAY(SELECT DISTINCT instance_id FROM changed);
BEGIN
    -- Only what observations say: a rollout comes here twice for every batch.
    PERFORM 1 FROM instances_app_instance WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE instances_app_glance g SET
        webhooks_digest = now_.webhooks_digest, webhooks_at = now_.webhooks_at,
        connections_digest = now_.connections_digest, connections_at = now_.connections_at
    FROM (
        SELECT id.instance_id,
            max(o.digest) FILTER (WHERE o.kind = 'webhooks') AS webhooks_digest,
            max(o.seen_at) FILTER (WHERE o.kind = 'webhooks') AS webhooks_at,
            max(o.digest) FILTER (WHERE o.kind = 'connections') AS connections_digest,
            max(o.seen_at) FILTER (WHERE o.kind = 'connections') AS connections_at
        FROM unnest(ids) AS id (instance_id)
        LEFT JOIN instances_app_observation o ON o.instance_id = id.instance_id AND o.until IS NULL
        GROUP BY id.instance_id
    ) AS now_
    WHERE g.instance_id = now_.instance_id
        AND (g.webhooks_digest, g.webhooks_at, g.connections_digest, g.connections_at)
            IS DISTINCT FROM
            (now_.webhooks_digest, now_.webhooks_at, now_.connections_digest, now_.connections_at);
    RETURN NULL;
END $$;
CREATE TRIGGER observation_added AFTER INSERT ON instances_app_observation REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION instances_app_observation_changed();
CREATE TRIGGER observation_changed AFTER UPDATE ON instances_app_observation REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION instances_app_observation_changed();
CREATE TRIGGER observation_gone AFTER DELETE ON instances_app_observation REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION instances_app_observation_changed();

SELECT instances_app_glance(ARRAY(SELECT id FROM instances_app_instance));
"""
BACK = """
DROP TRIGGER observation_gone ON instances_app_observation;
DROP TRIGGER observation_changed ON instances_app_observation;
DROP TRIGGER observation_added ON instances_app_observation;
DROP FUNCTION instances_app_observation_changed();
DROP TRIGGER instance_changed ON instances_app_instance;
DROP TRIGGER instance_added ON instances_app_instance;
DROP FUNCTION instances_app_instance_changed();
DROP FUNCTION instances_app_glance(bigint[]);
"""
# Rows are written anew with every check: room in each page keeps them where they are (heap-only updates).
ROOM = "ALTER TABLE instances_app_glance SET (fillfactor = 50)"


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0007_freezes_and_maintenance'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='observation',
            index=models.Index(condition=models.Q(('until__isnull', False)), fields=['digest', 'until'], name='observation_left'),
        ),
        migrations.CreateModel(
            name='Glance',
            fields=[
                ('instance', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='glance', serialize=False, to='instances_app.instance')),
                ('name', models.CharField(max_length=80)),
                ('health', models.CharField(max_length=20)),
                ('health_at', models.DateTimeField(null=True)),
                ('webhooks_digest', models.CharField(max_length=64, null=True)),
                ('webhooks_at', models.DateTimeField(null=True)),
                ('connections_digest', models.CharField(max_length=64, null=True)),
                ('connections_at', models.DateTimeField(null=True)),
                ('text', models.TextField()),
                ('environment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='instances_app.environment')),
            ],
            options={
                'indexes': [models.Index(fields=['environment', 'name'], name='glance_by_name')],
            },
        ),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
        migrations.RunSQL(FORWARD, BACK),
    ]
