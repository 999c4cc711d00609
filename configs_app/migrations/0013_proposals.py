"""Every proposal is kept as it was, and what stands under its seal stands still.

A proposal's texts may be sealed anew (console/resealing.py), like those of a revision; nothing else of it may differ.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION configs_app_refuse_proposal_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    resealed configs_app_proposal := NEW;
BEGIN
    resealed.texts_sealed := OLD.texts_sealed;
    IF current_setting('console.resealing', true) = 'on' AND resealed IS NOT DISTINCT FROM OLD THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER proposal_immutable BEFORE UPDATE ON configs_app_proposal
    FOR EACH ROW EXECUTE FUNCTION configs_app_refuse_proposal_change();
CREATE TRIGGER proposal_not_deleted BEFORE DELETE ON configs_app_proposal
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();

CREATE FUNCTION configs_app_refuse_nameless_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM configs_app_proposal p
                   WHERE p.id = NEW.proposal_id AND p.change_id = NEW.change_id AND p.seal = NEW.seal) THEN
        RAISE EXCEPTION 'an approval names the proposal that it is of' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_of_proposal BEFORE INSERT ON configs_app_approval
    FOR EACH ROW EXECUTE FUNCTION configs_app_refuse_nameless_approval();

CREATE FUNCTION configs_app_refuse_sealed_edit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    resealed configs_app_changeddocument;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        resealed := NEW;
        resealed.content_sealed := OLD.content_sealed;
        IF current_setting('console.resealing', true) = 'on' AND resealed IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    PERFORM 1 FROM configs_app_change c
        WHERE c.id = CASE WHEN TG_OP = 'INSERT' THEN NEW.change_id ELSE OLD.change_id END AND c.seal <> '' FOR SHARE;
    IF FOUND THEN
        RAISE EXCEPTION 'the texts of a sealed change stand still: empty its seal first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER changed_document_still BEFORE INSERT OR UPDATE OR DELETE ON configs_app_changeddocument
    FOR EACH ROW EXECUTE FUNCTION configs_app_refuse_sealed_edit();

CREATE FUNCTION configs_app_refuse_other_aim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seal <> '' AND NEW.seal = OLD.seal
       AND (NEW.plan IS DISTINCT FROM OLD.plan OR NEW.targets IS DISTINCT FROM OLD.targets) THEN
        RAISE EXCEPTION 'plan and targets of a sealed change stand still: empty its seal first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- Texts may have changed between two seals, and the database cannot compute one: a seal is new when it is put on.
    IF NEW.seal <> '' AND NEW.seal <> OLD.seal
       AND EXISTS (SELECT 1 FROM configs_app_approval a WHERE a.change_id = NEW.id AND a.seal = NEW.seal) THEN
        RAISE EXCEPTION 'a seal that has approvals is not put on again' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER change_aim_still BEFORE UPDATE ON configs_app_change
    FOR EACH ROW EXECUTE FUNCTION configs_app_refuse_other_aim();
"""
BACK = """
DROP TRIGGER change_aim_still ON configs_app_change;
DROP FUNCTION configs_app_refuse_other_aim();
DROP TRIGGER changed_document_still ON configs_app_changeddocument;
DROP FUNCTION configs_app_refuse_sealed_edit();
DROP TRIGGER approval_of_proposal ON configs_app_approval;
DROP FUNCTION configs_app_refuse_nameless_approval();
DROP TRIGGER proposal_not_deleted ON configs_app_proposal;
DROP TRIGGER proposal_immutable ON configs_app_proposal;
DROP FUNCTION configs_app_refuse_proposal_change();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('configs_app', '0012_nobody_who_had_a_part'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Proposal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('seal', models.CharField(max_length=64, unique=True)),
                ('texts_sealed', models.BinaryField()),
                ('targets', models.JSONField()),
                ('plan', models.JSONField()),
                ('risk', models.CharField(max_length=10)),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('change', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='proposals', to='configs_app.change')),
            ],
            options={
                'ordering': ['number'],
            },
        ),
        migrations.AddField(
            model_name='approval',
            name='proposal',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='approvals', to='configs_app.proposal'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.UniqueConstraint(fields=('change', 'number'), name='proposal_number_once'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(('risk__in', ['low', 'medium', 'high'])), name='proposal_risk_known'),
        ),
        migrations.RunSQL(FORWARD, BACK),
    ]
