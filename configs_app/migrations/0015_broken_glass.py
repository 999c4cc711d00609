"""An admin may publish without waiting for approvals: the database lets it pass beside a row that says who and why.

The row is of one proposal, so it lets nothing else pass, and it stays.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FORWARD = """
CREATE TRIGGER broken_glass_immutable BEFORE UPDATE OR DELETE ON configs_app_brokenglass
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();

CREATE OR REPLACE FUNCTION configs_app_refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    environment instances_app_environment;
    proposal configs_app_proposal;
    counting bigint[];
    needed integer;
BEGIN
    IF NEW.state <> 'published' OR OLD.state = 'published' THEN
        RETURN NEW;
    END IF;
    SELECT * INTO environment FROM instances_app_environment WHERE id = NEW.environment_id;
    IF NOT environment.protected THEN
        RETURN NEW;
    END IF;
    SELECT * INTO proposal FROM configs_app_proposal p
        WHERE p.change_id = NEW.id AND p.seal = NEW.seal AND NEW.seal = OLD.seal;
    IF EXISTS (SELECT 1 FROM configs_app_brokenglass g WHERE g.change_id = NEW.id AND g.proposal_id = proposal.id) THEN
        RETURN NEW;
    END IF;
    SELECT array_agg(a.approver_id) INTO counting FROM configs_app_approval a
        WHERE a.proposal_id = proposal.id
          AND NOT EXISTS (SELECT 1 FROM configs_app_contributor c
                          WHERE c.change_id = NEW.id AND c.person_id = a.approver_id);
    needed := CASE WHEN proposal.risk = 'high' THEN environment.approvals_high ELSE environment.approvals END;
    IF coalesce(cardinality(counting), 0) < needed THEN
        RAISE EXCEPTION 'a change in a protected environment needs an approval of this content by another person'
            USING ERRCODE = 'check_violation';
    END IF;
    IF environment.approvers_group_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM console_user_groups g
                       WHERE g.group_id = environment.approvers_group_id AND g.user_id = ANY (counting)) THEN
        RAISE EXCEPTION 'one of the approvals has to come from the group of the environment'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
BACK = """
CREATE OR REPLACE FUNCTION configs_app_refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    environment instances_app_environment;
    proposal configs_app_proposal;
    counting bigint[];
    needed integer;
BEGIN
    IF NEW.state <> 'published' OR OLD.state = 'published' THEN
        RETURN NEW;
    END IF;
    SELECT * INTO environment FROM instances_app_environment WHERE id = NEW.environment_id;
    IF NOT environment.protected THEN
        RETURN NEW;
    END IF;
    SELECT * INTO proposal FROM configs_app_proposal p
        WHERE p.change_id = NEW.id AND p.seal = NEW.seal AND NEW.seal = OLD.seal;
    SELECT array_agg(a.approver_id) INTO counting FROM configs_app_approval a
        WHERE a.proposal_id = proposal.id
          AND NOT EXISTS (SELECT 1 FROM configs_app_contributor c
                          WHERE c.change_id = NEW.id AND c.person_id = a.approver_id);
    needed := CASE WHEN proposal.risk = 'high' THEN environment.approvals_high ELSE environment.approvals END;
    IF coalesce(cardinality(counting), 0) < needed THEN
        RAISE EXCEPTION 'a change in a protected environment needs an approval of this content by another person'
            USING ERRCODE = 'check_violation';
    END IF;
    IF environment.approvers_group_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM console_user_groups g
                       WHERE g.group_id = environment.approvers_group_id AND g.user_id = ANY (counting)) THEN
        RAISE EXCEPTION 'one of the approvals has to come from the group of the environment'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER broken_glass_immutable ON configs_app_brokenglass;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('configs_app', '0014_as_many_as_the_rules_ask_for'),
        ('instances_app', '0004_nobody_alone_quietly'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BrokenGlass',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.CharField(max_length=500)),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('change', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='broken_glass', to='configs_app.change')),
                ('proposal', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='broken_glass', to='configs_app.proposal')),
                ('review', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='instances_app.latereview')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='broken_glass_has_reason')],
            },
        ),
        migrations.RunSQL(FORWARD, BACK),
    ]
